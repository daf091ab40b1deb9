/**
 * The 3D view with its buttons, and what the pointer does in it: drag the face, turn it, wipe between before and after.
 */

import { Grab, controlsAt, leftShare } from "./drag.js";
import { icon, make } from "./dom.js";
import { SIDES } from "./edit.js";
import { reach } from "./geometry.js";
import { shown } from "./numbers.js";
import { VIEWS } from "./orbit.js";

const TURN = 0.009; // radians per pixel
const KEY_TURN = 0.12;
const VIEW_NAMES = { front: "Front", half: "\u00be", side: "Side" };
const HINT = "Drag the face to shape it, drag beside it to turn";
const KEYS = { 1: "front", 2: "half", 3: "side" };

export class Stage {
  /**
   * @param {import("./state.js").EditState} state
   * @param {(names: string[]) => void} onControls names of the controls under the pointer or in the hand
   */
  constructor(state, onControls = () => {}) {
    this._state = state;
    this._onControls = onControls;
    this.viewer = null;
    this.canvas = make("canvas", { class: "fid-canvas", "data-testid": "fid-canvas" });
    this._label = make("div", { class: "fid-under", "data-testid": "fid-under" });
    this._message = make("div", { class: "fid-message" });
    this._handle = make("div", { class: "fid-wipe", hidden: true }, make("span", {}, "before"), make("span", {}, "after"));
    this.el = make(
      "div",
      { class: "fid-stage", role: "application", tabIndex: 0, "data-testid": "fid-stage", "aria-label": "3D face" },
      this.canvas, this._handle, this._viewButtons(), this._showButtons(), this._label, this._message,
    );
    this.el.type = "textarea"; // ComfyUI leaves the undo keys to what looks like a text field: they are ours here
    this._listen();
  }

  /** @param {import("./viewer.js").FaceViewer} viewer */
  setViewer(viewer) {
    this.viewer = viewer;
    this.setMessage("");
    this._label.textContent = HINT;
  }

  /** A text instead of the head, or none. */
  setMessage(text) {
    this._message.textContent = text;
    this._message.hidden = !text;
  }

  /** Shows which part of the face a control moves. @param {import("./geometry.js").Control | null} control */
  point(control) {
    if (this._grab || !this.viewer?.head) return;
    this.viewer.highlight(control && reach(this.viewer.head, control));
  }

  /** Gives up what is in the hand. @returns {boolean} whether something was */
  release() {
    const held = this._grab !== undefined;
    this._grab = this._hand = undefined;
    if (held) this._state.cancel();
    return held;
  }

  destroy() {
    cancelAnimationFrame(this._hover);
    this.release();
    this.viewer?.destroy();
    this.viewer = null;
    this.el.remove();
  }

  _viewButtons() {
    const buttons = Object.keys(VIEWS).map((name, n) => {
      return make("button", { type: "button", class: "fid-view", title: `View from this side (key ${n + 1})`, onclick: () => this._look(name) }, VIEW_NAMES[name]);
    });
    return make("div", { class: "fid-views" }, ...buttons);
  }

  _showButtons() {
    const toggle = (name, key, title) => {
      const button = make("button", { type: "button", class: "fid-tool", title: `${title} (key ${key.toUpperCase()})`, "aria-label": title, "aria-pressed": false, "data-testid": `fid-${name}`, onclick: () => this._toggle(name) }, icon(name));
      this._toggles.set(name, { button, key });
      return button;
    };
    this._toggles = new Map();
    const before = make("button", { type: "button", class: "fid-tool", title: "Hold to see the face without the edit (key B)", "aria-label": "Show the face without the edit", "data-testid": "fid-before", onpointerdown: () => this._before(true), onpointerup: () => this._before(false), onpointerleave: () => this._before(false) }, icon("eye"));
    return make(
      "div",
      { class: "fid-tools" },
      before,
      toggle("wipe", "w", "Before and after, side by side"),
      toggle("ghost", "g", "Outline of the face without the edit"),
      toggle("lines", "m", "Mesh"),
    );
  }

  _toggle(name) {
    if (!this.viewer) return;
    const { show } = this.viewer;
    if (name === "wipe") show.wipe = show.wipe === null ? 0.5 : null;
    else show[name] = !show[name];
    this._toggles.get(name).button.setAttribute("aria-pressed", Boolean(show[name] ?? false));
    this._placeHandle();
    this.viewer.requestDraw();
  }

  _before(on, byKey = false) {
    if (!this.viewer || this.viewer.show.original === on) return;
    this._beforeByKey = byKey;
    this.viewer.show.original = on;
    this.viewer.requestDraw();
  }

  _look(name) {
    this.viewer?.orbit.look(name);
    this.viewer?.requestDraw();
  }

  _placeHandle() {
    const { wipe } = this.viewer.show;
    this._handle.hidden = wipe === null;
    this._handle.style.left = `${100 * (wipe ?? 0.5)}%`;
  }

  _listen() {
    const { canvas, el } = this;
    canvas.addEventListener("pointerdown", (event) => this._down(event));
    canvas.addEventListener("pointermove", (event) => this._move(event));
    canvas.addEventListener("pointerup", (event) => this._up(event));
    canvas.addEventListener("pointercancel", () => this._leave());
    canvas.addEventListener("lostpointercapture", () => this._hand && this._up());
    canvas.addEventListener("pointerleave", () => this._leave());
    canvas.addEventListener("dblclick", () => this._resetView());
    canvas.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      event.stopPropagation(); // the right button turns the head
    });
    el.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    el.addEventListener("keydown", (event) => this._key(event));
    const keyUp = () => {
      if (this._beforeByKey) this._before(false);
    };
    el.addEventListener("keyup", (event) => event.key.toLowerCase() === "b" && keyUp());
    el.addEventListener("blur", keyUp);
    this._handle.addEventListener("pointerdown", (event) => this._handle.setPointerCapture(event.pointerId));
    this._handle.addEventListener("pointermove", (event) => this._wipe(event));
  }

  _down(event) {
    if (!this.viewer?.head) return;
    this.canvas.setPointerCapture(event.pointerId);
    const at = this._place(event);
    this._hand = { at, last: at, doing: event.button === 1 || event.shiftKey ? "slide" : "turn" };
    const found = event.button === 0 && !event.shiftKey && !event.altKey ? this._controlsAt(at, true) : [];
    if (!found.length) return;
    this._hand.doing = "drag";
    this._grab = new Grab(found, (name) => this._state.value(name));
    this._used = true;
    this._under(found);
  }

  _move(event) {
    if (!this.viewer?.head) return;
    if (!this._hand) return this._hoverAt(this._place(event));
    const { at, last, doing } = this._hand;
    const now = (this._hand.last = this._place(event));
    const [x, y] = [now[0] - last[0], now[1] - last[1]];
    if (doing === "drag") this._drag(now[0] - at[0], now[1] - at[1]);
    else if (doing === "turn") this._turn(-x * TURN, y * TURN);
    else this._slide(x, y);
  }

  _drag(x, y) {
    const moved = this._grab.moved(x, y);
    this._state.preview(moved);
    const changes = this._grab.controls.map(({ name, label }) => [label, moved[name], Math.abs(moved[name] - this._grab.start(name))]);
    const told = changes.filter(([, , by]) => by > 0.02).sort((a, b) => b[2] - a[2]).slice(0, 3);
    if (told.length) this._label.textContent = told.map(([label, value]) => `${label} ${shown(value)}`).join(" \u00b7 ");
  }

  _up() {
    if (this._grab) this._state.finish();
    this._hand = this._grab = undefined;
  }

  _leave() {
    if (this._hand) return; // captured: the pointer comes back
    cancelAnimationFrame(this._hover);
    this._hover = undefined;
    this._under([]);
  }

  _turn(yaw, pitch) {
    this.viewer.orbit.turn(yaw, pitch);
    this.viewer.requestDraw();
  }

  _slide(x, y) {
    const { height } = this.canvas.getBoundingClientRect();
    this.viewer.orbit.slide(x / height, -y / height);
    this.viewer.requestDraw();
  }

  _resetView() {
    this.viewer?.orbit.reset();
    this.viewer?.requestDraw();
  }

  _wheel(event) {
    if (!this.viewer) return;
    event.preventDefault();
    event.stopPropagation();
    this.viewer.orbit.closer(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.04 : 0.0014)));
    this.viewer.requestDraw();
  }

  _wipe(event) {
    if (!event.buttons || !this.viewer) return;
    const { left, width } = this.canvas.getBoundingClientRect();
    this.viewer.show.wipe = Math.min(1, Math.max(0, (event.clientX - left) / width));
    this._placeHandle();
    this.viewer.requestDraw();
  }

  _key(event) {
    if (!this.viewer || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const turn = { ArrowLeft: [-KEY_TURN, 0], ArrowRight: [KEY_TURN, 0], ArrowUp: [0, KEY_TURN], ArrowDown: [0, -KEY_TURN] }[key];
    const toggled = [...this._toggles].find(([, toggle]) => toggle.key === key);
    if (key === "Escape" && this.release());
    else if (turn) this._turn(...turn);
    else if (key in KEYS) this._look(KEYS[key]);
    else if (key === "+" || key === "-") this._zoom(key === "+" ? 1.15 : 1 / 1.15);
    else if (key === "b") this._before(true, true);
    else if (toggled) this._toggle(toggled[0]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  _zoom(factor) {
    this.viewer.orbit.closer(factor);
    this.viewer.requestDraw();
  }

  /** At most once per frame, since the pointer reports more often. */
  _hoverAt(at) {
    this._hovered = at;
    this._hover ??= requestAnimationFrame(() => {
      this._hover = undefined;
      if (!this.viewer?.head || this._hand) return;
      this._under(this._controlsAt(this._hovered));
    });
  }

  _controlsAt([x, y], take = false) {
    const point = this.viewer.pick(x, y);
    if (!point) return [];
    const { head } = this.viewer;
    let { sides } = this._state;
    if (sides.length === 1) sides = [SIDES[leftShare(head, point) > 0.5 ? 0 : 1]]; // one-sided: the side that is grabbed
    if (take && sides !== this._state.sides) this._state.setSides(sides);
    return controlsAt(head, point, this.viewer.pixelsPerMetre(point), (control) => this._state.isLoose(control), sides);
  }

  _under(candidates) {
    const controls = candidates.map(({ control }) => control);
    this.canvas.style.cursor = controls.length ? "grab" : "default";
    this._label.textContent = controls.map(({ label }) => label).join(" \u00b7 ") || (this._used ? "" : HINT);
    this._onControls(controls.map(({ name }) => name));
    const best = controls[0]?.name;
    if (best === this._shown) return;
    this._shown = best;
    this.viewer?.highlight(best ? reach(this.viewer.head, controls[0]) : null);
  }

  /** Pixels from the canvas' upper left corner. */
  _place({ clientX, clientY }) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [clientX - left, clientY - top];
  }
}
