/**
 * What the pointer does in the 3D view: shape the face that it grabs, turn the head, slide the picture, zoom.
 */

import { Grab, controlsAt, leftShare } from "./drag.js";
import { SIDES } from "./edit.js";

const TURN = 0.009; // radians per pixel
const ZOOM = { 0: 0.0014, 1: 0.04 }; // per pixel, or per line, that a wheel reports

export class Hand {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("./state.js").EditState} state
   * @param {{ onFind: (candidates: import("./drag.js").Candidate[]) => void, onDrag: (grab: Grab) => void }} events
   * `onFind`: other controls, or none, are under the pointer; `onDrag`: what is grabbed moved
   */
  constructor(canvas, state, { onFind, onDrag }) {
    this._canvas = canvas;
    this._state = state;
    this._onFind = onFind;
    this._onDrag = onDrag;
    /** @type {import("./viewer.js").FaceViewer | null} */
    this.viewer = null;
    canvas.addEventListener("pointerdown", (event) => this._down(event));
    canvas.addEventListener("pointermove", (event) => this._move(event));
    canvas.addEventListener("pointerup", () => this._up());
    canvas.addEventListener("lostpointercapture", () => this._up());
    canvas.addEventListener("pointerleave", () => this._leave());
    canvas.addEventListener("dblclick", () => this.change((orbit) => orbit.reset()));
    canvas.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      event.stopPropagation(); // the right button turns the head
    });
  }

  /** Whether a part of the face is in the hand. */
  get holds() {
    return this._grab !== undefined;
  }

  /** Moves the camera. @param {(orbit: import("./orbit.js").Orbit) => void} action */
  change(action) {
    if (!this.viewer) return;
    action(this.viewer.orbit);
    this.viewer.requestDraw();
  }

  /** Gives up what is in the hand. @returns {boolean} whether something was */
  release() {
    const held = this.holds;
    this._motion = this._grab = undefined;
    if (held) this._state.cancel();
    return held;
  }

  destroy() {
    cancelAnimationFrame(this._hover);
    this.release();
    this.viewer = null;
  }

  _down(event) {
    if (!this.viewer?.head) return;
    this._canvas.setPointerCapture(event.pointerId);
    const at = this._place(event);
    this._motion = { at, last: at, slides: event.button === 1 || event.shiftKey };
    const found = event.button === 0 && !event.shiftKey && !event.altKey ? this._controlsAt(at, true) : [];
    if (!found.length) return;
    this._grab = new Grab(found, (name) => this._state.value(name));
    this._onFind(found);
  }

  _move(event) {
    if (!this.viewer?.head) return;
    const now = this._place(event);
    if (!this._motion) return this._hoverAt(now);
    const { at, last, slides } = this._motion;
    this._motion.last = now;
    const [x, y] = [now[0] - last[0], now[1] - last[1]];
    if (this._grab) {
      this._state.preview(this._grab.moved(now[0] - at[0], now[1] - at[1]));
      this._onDrag(this._grab);
    } else if (slides) {
      const { height } = this._canvas.getBoundingClientRect();
      this.change((orbit) => orbit.slide(x / height, -y / height));
    } else this.change((orbit) => orbit.turn(-x * TURN, y * TURN));
  }

  _up() {
    if (this._grab) this._state.finish();
    this._motion = this._grab = undefined;
  }

  _leave() {
    if (this._motion) return; // captured: the pointer comes back
    cancelAnimationFrame(this._hover);
    this._hover = undefined;
    this._onFind([]);
  }

  _wheel(event) {
    event.preventDefault();
    event.stopPropagation();
    this.change((orbit) => orbit.closer(Math.exp(-event.deltaY * (ZOOM[event.deltaMode] ?? ZOOM[0]))));
  }

  /** At most once per frame, since the pointer reports more often. */
  _hoverAt(at) {
    this._hovered = at;
    this._hover ??= requestAnimationFrame(() => {
      this._hover = undefined;
      if (this.viewer?.head && !this._motion) this._onFind(this._controlsAt(this._hovered));
    });
  }

  _controlsAt([x, y], take = false) {
    const point = this.viewer.pick(x, y);
    if (!point) return [];
    const { head } = this.viewer;
    let { sides } = this._state;
    if (sides.length === 1) {
      sides = [SIDES[leftShare(head, point) > 0.5 ? 0 : 1]]; // of one-sided edits, the side that is grabbed
      if (take) this._state.setSides(sides);
    }
    const toScreen = this.viewer.pixelsPerMetre(point);
    return controlsAt(head, point, toScreen, (control) => this._state.isLoose(control), sides);
  }

  /** Pixels of the page from the canvas' upper left corner. */
  _place({ clientX, clientY }) {
    const { left, top } = this._canvas.getBoundingClientRect();
    return [clientX - left, clientY - top];
  }
}
