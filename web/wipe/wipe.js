/** Two pictures of one size over each other: a line that follows the pointer parts the one before from the one after. */

import { make } from "../editor/dom.js";
import { t } from "../words/words.js";

export const HEIGHT = 260;
const STEP = 0.05; // of an arrow key
const STYLE = `
.fantasyid-wipe { box-sizing: border-box; position: relative; width: 100%; height: 100%; min-height: ${HEIGHT}px; overflow: hidden; border-radius: 6px; outline: none; user-select: none; touch-action: none; cursor: ew-resize; background: var(--comfy-input-bg, #2b2d32); }
.fantasyid-wipe img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; pointer-events: none; }
.fantasyid-wipe .line { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #fff; box-shadow: 0 0 3px #000; pointer-events: none; }
.fantasyid-wipe span { position: absolute; top: 6px; padding: 1px 6px; border-radius: 4px; background: #000a; color: #fff; font: 11px Inter, system-ui, sans-serif; pointer-events: none; }
.fantasyid-wipe .note { top: 50%; left: 0; right: 0; margin-top: -9px; background: none; color: var(--descrip-text, #9a9da6); text-align: center; }
.fantasyid-wipe:focus-visible .line { background: #5aa2ff; }
`;

/** Where x lies between left and left + width, 0 to 1. */
export function shareOf(x, left, width) {
  return width > 0 ? Math.min(1, Math.max(0, (x - left) / width)) : 0.5;
}

export class Wipe {
  constructor() {
    if (!document.getElementById("fantasyid-wipe-style")) {
      document.head.append(make("style", { id: "fantasyid-wipe-style" }, STYLE));
    }
    this._before = make("img", { alt: t("before the edit"), draggable: false, "data-testid": "fid-wipe-before" });
    this._after = make("img", { alt: t("after the edit"), draggable: false, "data-testid": "fid-wipe-after" });
    this._line = make("div", { class: "line" });
    this._labels = [make("span", {}, t("before")), make("span", {}, t("after"))];
    this._labels[0].style.left = this._labels[1].style.right = "6px";
    this._note = make("span", { class: "note" }, t("Run the workflow to see the change."));
    this.el = make(
      "div",
      {
        class: "fantasyid-wipe",
        tabIndex: 0,
        role: "slider",
        "aria-label": t("Before and after"),
        "aria-valuemin": "0",
        "aria-valuemax": "100",
        "data-testid": "fid-compare",
        onpointermove: (event) => this._follow(event),
        onpointerdown: (event) => this._follow(event),
        onkeydown: (event) => this._key(event),
      },
      this._note,
    );
    this.place = 0.5;
  }

  /** The share of the width, from the left, that shows the picture before. */
  get place() {
    return this._place;
  }

  set place(share) {
    this._place = Math.min(1, Math.max(0, share));
    const percent = 100 * this._place;
    this._before.style.clipPath = `inset(0 ${100 - percent}% 0 0)`;
    this._line.style.left = `${percent}%`;
    this.el.setAttribute("aria-valuenow", String(Math.round(percent)));
  }

  /** @param {string} before @param {string} after addresses of the pictures */
  show(before, after) {
    this._before.src = before;
    this._after.src = after;
    this.el.replaceChildren(this._after, this._before, this._line, ...this._labels);
  }

  _follow(event) {
    const { left, width } = this.el.getBoundingClientRect();
    this.place = shareOf(event.clientX, left, width);
  }

  _key(event) {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Delete" || event.key === "Backspace") event.stopPropagation(); // it would delete the node
    if (!direction) return;
    event.preventDefault();
    event.stopPropagation();
    this.place += direction * STEP;
  }
}
