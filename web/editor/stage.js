/**
 * The 3D view with what lies over it: views, before and after, what is under the pointer; and its keys.
 */

import { icon, make } from "./dom.js";
import { reach } from "./geometry.js";
import { Hand } from "./hand.js";
import { shown } from "./numbers.js";
import { t } from "../words/words.js";

const HINT = "Drag the face to shape it, drag beside it to turn";
const VIEWS = { front: "Front", half: "\u00be", side: "Side" };
const KEY_TURN = 0.12; // radians
const TURNS = {
  ArrowLeft: [-KEY_TURN, 0],
  ArrowRight: [KEY_TURN, 0],
  ArrowUp: [0, KEY_TURN],
  ArrowDown: [0, -KEY_TURN],
};
const ZOOMS = { "+": 1.15, "-": 1 / 1.15 };
const TOGGLES = {
  wipe: { key: "w", title: "Before and after, side by side" },
  ghost: { key: "g", title: "Outline of the face without the edit" },
  lines: { key: "m", title: "Mesh" },
};
const TOLD = 0.02; // a drag tells of controls that moved by more than this

export class Stage {
  /**
   * @param {import("./state.js").EditState} state
   * @param {(names: string[]) => void} [onControls] names of the controls under the pointer or in the hand
   */
  constructor(state, onControls = () => {}) {
    this._state = state;
    this._onControls = onControls;
    /** @type {import("./viewer.js").FaceViewer | null} */
    this.viewer = null;
    this.canvas = make("canvas", { class: "fid-canvas", "data-testid": "fid-canvas" });
    this._hand = new Hand(this.canvas, state, {
      onFind: (candidates) => this._found(candidates.map(({ control }) => control)),
      onDrag: (grab) => this._tell(grab),
    });
    this._label = make("div", { class: "fid-under", "data-testid": "fid-under" });
    this._message = make("div", { class: "fid-message" });
    this._handle = make(
      "div",
      { class: "fid-wipe", hidden: true, onpointermove: (event) => this._wipe(event) },
      make("span", {}, t("before")),
      make("span", {}, t("after")),
    );
    this._handle.addEventListener("pointerdown", (event) => this._handle.setPointerCapture(event.pointerId));
    const look = { class: "fid-stage", role: "application", tabIndex: 0, "aria-label": t("3D face") };
    const parts = [this.canvas, this._handle, this._viewButtons(), this._showButtons(), this._label, this._message];
    this.el = make("div", { ...look, "data-testid": "fid-stage" }, ...parts);
    this.el.type = "textarea"; // ComfyUI leaves the undo keys to what looks like a text field: they are ours here
    this.el.addEventListener("keydown", (event) => this._key(event));
    this.el.addEventListener("keyup", (event) => event.key.toLowerCase() === "b" && this._endKey());
    this.el.addEventListener("blur", () => this._endKey());
  }

  /** @param {import("./viewer.js").FaceViewer} viewer */
  setViewer(viewer) {
    this.viewer = this._hand.viewer = viewer;
    this._label.textContent = t(HINT);
  }

  /** A text instead of the head, or none. @param {string} text */
  setMessage(text) {
    this._message.textContent = text;
    this._message.hidden = !text;
  }

  /** Shows which part of the face a control moves. @param {import("./geometry.js").Control | null} control */
  point(control) {
    if (this._hand.holds) return;
    const own = this.viewer?.head?.controls.find(({ name }) => name === control?.name); // sliders outlive a head
    this._highlight(own ?? null);
  }

  destroy() {
    this._hand.destroy();
    this.viewer?.destroy();
    this.viewer = null;
    this.el.remove();
  }

  _viewButtons() {
    const buttons = Object.entries(VIEWS).map(([name, text], n) => {
      const title = t("View from this side (key {key})", { key: n + 1 });
      return make("button", { type: "button", class: "fid-view", title, onclick: () => this._look(name) }, t(text));
    });
    return make("div", { class: "fid-views" }, ...buttons);
  }

  _showButtons() {
    const look = { type: "button", class: "fid-tool" };
    const before = {
      title: t("Hold to see the face without the edit (key B)"),
      "aria-label": t("Show the face without the edit"),
      "data-testid": "fid-before",
      onpointerdown: () => this._before(true),
      onpointerup: () => this._before(false),
      onpointerleave: () => this._before(false),
    };
    this._toggles = Object.fromEntries(
      Object.entries(TOGGLES).map(([name, { key, title }]) => {
        const label = t(title);
        const told = t("{what} (key {key})", { what: label, key: key.toUpperCase() });
        const words = { title: told, "aria-label": label, "aria-pressed": false };
        const does = { "data-testid": `fid-${name}`, onclick: () => this._toggle(name) };
        return [name, make("button", { ...look, ...words, ...does }, icon(name))];
      }),
    );
    const eye = make("button", { ...look, ...before }, icon("eye"));
    return make("div", { class: "fid-tools" }, eye, ...Object.values(this._toggles));
  }

  _look(name) {
    this._hand.change((orbit) => orbit.look(name));
  }

  _toggle(name) {
    if (!this.viewer) return;
    const { show } = this.viewer;
    if (name === "wipe") show.wipe = show.wipe === null ? 0.5 : null;
    else show[name] = !show[name];
    this._toggles[name].setAttribute("aria-pressed", Boolean(show[name]));
    this._placeHandle();
    this.viewer.requestDraw();
  }

  _before(on, byKey = false) {
    if (!this.viewer || this.viewer.show.original === on) return;
    this._beforeByKey = byKey;
    this.viewer.show.original = on;
    this.viewer.requestDraw();
  }

  _endKey() {
    if (this._beforeByKey) this._before(false);
  }

  _wipe(event) {
    if (!event.buttons || !this.viewer) return;
    const { left, width } = this.canvas.getBoundingClientRect();
    this.viewer.show.wipe = Math.min(1, Math.max(0, (event.clientX - left) / width));
    this._placeHandle();
    this.viewer.requestDraw();
  }

  _placeHandle() {
    const { wipe } = this.viewer.show;
    this._handle.hidden = wipe === null;
    this._handle.style.left = `${100 * (wipe ?? 0.5)}%`;
  }

  _key(event) {
    if (!this.viewer || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const view = Object.keys(VIEWS)[Number(key) - 1];
    const toggled = Object.keys(TOGGLES).find((name) => TOGGLES[name].key === key);
    if (key in TURNS) this._hand.change((orbit) => orbit.turn(...TURNS[key]));
    else if (key in ZOOMS) this._hand.change((orbit) => orbit.closer(ZOOMS[key]));
    else if (view) this._look(view);
    else if (toggled) this._toggle(toggled);
    else if (key === "b") this._before(true, true);
    else if (key !== "Escape" || !this._hand.release()) return;
    event.preventDefault();
    event.stopPropagation();
  }

  _found(controls) {
    this.canvas.style.cursor = controls.length ? "grab" : "default";
    this._label.textContent = controls.map(({ label }) => t(label)).join(" \u00b7 ") || (this._used ? "" : t(HINT));
    this._onControls(controls.map(({ name }) => name));
    if (controls[0] !== this._shown) this._highlight(controls[0] ?? null);
    this._shown = controls[0];
  }

  /** The values that a drag gives, the largest change first. */
  _tell(grab) {
    this._used = true;
    const change = ({ name }) => Math.abs(this._state.value(name) - grab.start(name));
    const told = grab.controls.filter((control) => change(control) > TOLD).sort((a, b) => change(b) - change(a));
    if (!told.length) return;
    const texts = told.slice(0, 3).map(({ label, name }) => `${t(label)} ${shown(this._state.value(name))}`);
    this._label.textContent = texts.join(" \u00b7 ");
  }

  _highlight(control) {
    if (this.viewer?.head) this.viewer.highlight(control && reach(this.viewer.head, control));
  }
}
