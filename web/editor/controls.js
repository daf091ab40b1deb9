/**
 * All controls in their groups: a rail with the groups' names at the side, the sliders beside it.
 */

import { make } from "./dom.js";
import { Slider } from "./slider.js";
import { t } from "../words/words.js";

export class ControlPanel {
  /**
   * @param {import("./state.js").EditState} state
   * @param {{ onPoint?: (control: import("./geometry.js").Control | null) => void }} [events] `onPoint`: the pointer
   * or the keyboard is at a control, or at none any more
   */
  constructor(state, { onPoint = () => {} } = {}) {
    this._state = state;
    this._onPoint = onPoint;
    this._groups = [];
    this._sliders = new Map();
    this._rail = make("div", { class: "fid-rail", role: "group", "aria-label": t("Groups of controls") });
    this._list = make("div", { class: "fid-list", "data-testid": "fid-list", onscroll: () => this._markGroup() });
    this.el = make("div", { class: "fid-panel" }, this._rail, this._list);
    this._stop = state.on("change", () => this.update());
  }

  /** @param {import("./geometry.js").Control[]} controls */
  setControls(controls) {
    if (
      sameControls(
        controls,
        [...this._sliders.values()].map(({ control }) => control),
      )
    )
      return this.update();
    this._rail.replaceChildren();
    this._list.replaceChildren();
    this._groups = [];
    this._sliders.clear();
    for (const control of controls) {
      const slider = new Slider(control, this._state);
      this._sliders.set(control.name, slider);
      this._group(control.group).add(slider);
      this._watch(slider);
    }
    this.update();
    this._markGroup();
  }

  /**
   * @param {Record<string, [number, number, string?]>} effects control name -> relative token change by vertices, by
   * warp, and what is to be said about it
   */
  setEffects(effects) {
    const largest = Math.max(0, ...Object.values(effects).flatMap(([vertices, warp]) => [vertices, warp]));
    for (const [name, slider] of this._sliders) slider.setEffect(effects[name], largest);
  }

  update() {
    for (const slider of this._sliders.values()) slider.update();
    for (const group of this._groups) group.update(this._state);
  }

  /** Brings controls into sight and marks them; none of them unmarks all. @param {string[]} names */
  mark(names) {
    for (const [name, slider] of this._sliders) slider.el.classList.toggle("fid-marked", names.includes(name));
  }

  /** @param {string} name */
  reveal(name) {
    const row = this._sliders.get(name)?.el;
    if (!row) return;
    const top = row.offsetTop,
      { scrollTop, clientHeight } = this._list;
    if (top < scrollTop + 24 || top + row.offsetHeight > scrollTop + clientHeight) {
      this._list.scrollTop = top - clientHeight / 3; // not scrollIntoView, which would also move ComfyUI's page
    }
  }

  destroy() {
    this._stop();
    this.el.remove();
  }

  _group(name) {
    const found = this._groups.find((group) => group.name === name);
    if (found) return found;
    const group = new Group(name, this._state, () => (this._list.scrollTop = group.el.offsetTop));
    this._groups.push(group);
    this._rail.append(group.tab);
    this._list.append(group.el);
    return group;
  }

  _watch(slider) {
    const point = () => this._onPoint(slider.control);
    const leave = () => this._onPoint(null);
    slider.el.addEventListener("pointerenter", point);
    slider.el.addEventListener("pointerleave", leave);
    slider.el.addEventListener("focusin", point);
    slider.el.addEventListener("focusout", leave);
  }

  _markGroup() {
    const { scrollTop, clientHeight, scrollHeight } = this._list;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 2 && scrollTop > 0;
    const line = atEnd ? Infinity : scrollTop + 12;
    const current = this._groups.filter(({ el }) => el.offsetTop <= line).pop();
    for (const group of this._groups) group.tab.setAttribute("aria-current", group === current);
  }
}

/** Whether two heads have the same sliders, so that those in somebody's hand may stay. */
function sameControls(a, b) {
  const shown = ({ name, label, group, help, low, high }) => [name, label, group, help, low, high];
  return JSON.stringify(a.map(shown)) === JSON.stringify(b.map(shown));
}

class Group {
  constructor(name, state, onOpen) {
    const group = t(name);
    this.name = name;
    this._names = [];
    this._reset = make(
      "button",
      {
        type: "button",
        class: "fid-group-reset",
        title: t("Set all of {group} back to 0, but for what is pinned.", { group }),
        onclick: () => state.reset(this._names.filter((each) => !state.isPinned(each))),
      },
      t("reset"),
    );
    this.el = make(
      "section",
      { class: "fid-group", "aria-label": group },
      make("header", {}, make("span", {}, group), this._reset),
    );
    this.tab = make(
      "button",
      { type: "button", class: "fid-tab", title: t("Show {group}", { group }), onclick: onOpen },
      group,
    );
  }

  add(slider) {
    this._names.push(slider.control.name);
    this.el.append(slider.el);
  }

  update(state) {
    const changed = this._names.filter((name) => state.pair(name).some((value) => value !== 0)).length;
    this.tab.classList.toggle("fid-changed", changed > 0);
    this._reset.hidden = changed === 0;
  }
}
