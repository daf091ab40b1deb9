/**
 * One control as the artist sees it: name, slider, number, how much it does, pin and reset.
 */

import { icon, make } from "./dom.js";
import { effectText, shown, stepped, typed } from "./numbers.js";
import { t } from "../words/words.js";

export class Slider {
  /**
   * @param {import("./geometry.js").Control} control
   * @param {import("./state.js").EditState} state
   */
  constructor(control, state) {
    this.control = control;
    this._state = state;
    this._name = t(control.label);
    this._help = t(control.help);
    this._label = make("span", { class: "fid-label", title: this._help }, this._name);
    this._range = make("input", {
      type: "range",
      min: control.low,
      max: control.high,
      step: "any",
      class: "fid-range",
      title: `${this._help} ${t("Arrow keys move it, with Shift faster; double-click or Delete sets it back.")}`,
      "aria-label": this._name,
      "data-testid": `fid-slider-${control.name}`,
      oninput: () => this._preview(this._range.valueAsNumber),
      onchange: () => state.finish(),
      onkeydown: (event) => this._key(event),
      onkeyup: () => state.finish(),
      onblur: () => state.finish(),
      ondblclick: () => state.reset([control.name]),
    });
    this._number = make("input", {
      type: "text",
      inputMode: "decimal",
      class: "fid-number",
      "aria-label": t("{control}, value", { control: this._name }),
      onfocus: () => this._number.select(),
      onkeydown: (event) => this._numberKey(event),
      onblur: () => this._takeNumber(),
    });
    this._bar = make("span", { class: "fid-effect" }, make("i"), make("i"));
    this._pin = this._button("pin", t("Pin: presets, dragging and dice leave this one alone."), () =>
      state.togglePin(control.name),
    );
    this._reset = this._button("reset", t("Set back to 0."), () => state.reset([control.name]));
    const track = make("span", { class: "fid-track" }, this._range, this._bar);
    this.el = make(
      "div",
      { class: "fid-slider", "data-name": control.name },
      this._label,
      track,
      this._number,
      this._pin,
      this._reset,
    );
    this.update();
  }

  /** Shows what the state holds. */
  update() {
    const { low, high, name } = this.control;
    const value = this._state.value(name);
    const [left, right] = this._state.pair(name);
    this._range.value = value;
    const share = (x) => (100 * (x - low)) / (high - low);
    this._range.style.setProperty("--from", `${Math.min(share(0), share(value))}%`);
    this._range.style.setProperty("--to", `${Math.max(share(0), share(value))}%`);
    this._range.style.setProperty("--zero", `${share(0)}%`);
    if (document.activeElement !== this._number) this._number.value = shown(value);
    this._range.style.setProperty("--left", `${share(left)}%`);
    this._range.style.setProperty("--right", `${share(right)}%`);
    const sides = left === right ? "" : t("Left {left}, right {right}.", { left: shown(left), right: shown(right) });
    this._number.title = `${sides} ${t("Type a value and press Enter.")}`.trim();
    this.el.classList.toggle("fid-uneven", left !== right);
    this.el.classList.toggle("fid-changed", left !== 0 || right !== 0);
    const pinned = this._state.isPinned(name);
    this._pin.setAttribute("aria-pressed", pinned);
    this.el.classList.toggle("fid-pinned", pinned);
    this._reset.disabled = left === 0 && right === 0;
  }

  /**
   * Shows how much this control does.
   * @param {[number, number, string?] | undefined} effect relative token change by vertices, by warp, and what is to be
   * said about it; undefined while not measured
   * @param {number} largest of all controls
   */
  setEffect(effect, largest) {
    const none = effect !== undefined && effect[0] === 0 && effect[1] === 0;
    this.el.classList.toggle("fid-without-effect", none);
    this._bar.hidden = effect === undefined;
    if (effect === undefined) return this._bar.removeAttribute("title");
    const width = (value) => `${largest > 0 ? Math.min(100, (100 * value) / largest) : 0}%`;
    [...this._bar.children].forEach((part, n) => (part.style.width = width(effect[n])));
    const said = effect[2] ? t(effect[2]) : none ? t("No effect.") : "";
    this._bar.title = none ? said : `${effectText(effect)} ${said}`.trim();
    this._label.title = `${this._help} ${said}`.trim();
  }

  focus() {
    this._range.focus({ preventScroll: true });
  }

  _preview(value) {
    this._state.preview({ [this.control.name]: value });
  }

  _key(event) {
    const value = stepped(event, this._state.value(this.control.name), this.control);
    if (value === null) return;
    event.preventDefault();
    event.stopPropagation();
    this._preview(value);
  }

  _numberKey(event) {
    if (event.key === "Enter") this._takeNumber();
    else if (event.key === "Escape") this._showNumber();
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault();
      this._preview(stepped(event, this._state.value(this.control.name), this.control));
      this._showNumber();
    } else return;
    event.stopPropagation();
  }

  _takeNumber() {
    const value = typed(this._number.value);
    if (value !== null && this._number.value !== shown(this._state.value(this.control.name))) this._preview(value);
    this._state.finish();
    this._showNumber();
  }

  _showNumber() {
    this._number.value = shown(this._state.value(this.control.name));
  }

  _button(name, title, onclick) {
    return make(
      "button",
      {
        type: "button",
        class: `fid-mini fid-${name}`,
        title,
        "aria-label": `${this._name}: ${title}`,
        onclick,
      },
      icon(name),
    );
  }
}
