/** People on a circle with a handle between them: one element, and the handle's place as JSON as its value. */

import { make } from "../editor/dom.js";
import { t } from "../words/words.js";
import { circleWeights, placeOf, readPlace, within, writePlace } from "./circle.js";

export const HEIGHT = 230;
const RADIUS = 78; // of the circle in the drawing, whose middle is 0 0
const STEP = 0.05; // of an arrow key; with Shift a fifth of it
const SPACE = "http://www.w3.org/2000/svg";
const STYLE = `
.fantasyid-circle { box-sizing: border-box; width: 100%; height: 100%; min-height: ${HEIGHT}px; outline: none; user-select: none; }
.fantasyid-circle svg { display: block; width: 100%; height: 100%; touch-action: none; cursor: crosshair; }
.fantasyid-circle .ring { fill: none; stroke: var(--border-color, #4e5158); }
.fantasyid-circle line { stroke: #5aa2ff; stroke-linecap: round; }
.fantasyid-circle text { fill: var(--input-text, #e3e4e8); font: 600 12px Inter, system-ui, sans-serif; text-anchor: middle; dominant-baseline: central; pointer-events: none; }
.fantasyid-circle text.share { fill: var(--descrip-text, #9a9da6); font-weight: 400; font-size: 10px; }
.fantasyid-circle .person { fill: var(--comfy-input-bg, #2b2d32); stroke: var(--border-color, #4e5158); }
.fantasyid-circle .handle { fill: #fff; stroke: #0b1524; stroke-width: 1.5; cursor: grab; }
.fantasyid-circle:focus-visible .handle { stroke: #5aa2ff; stroke-width: 3; }
`;

export class CirclePad {
  /** @param {{ onChange?: (value: string) => void, count?: number }} [options] `onChange` after each finished change */
  constructor({ onChange = () => {}, count = 2 } = {}) {
    this._onChange = onChange;
    this._count = count;
    this._place = [0, 0];
    if (!document.getElementById("fantasyid-circle-style")) {
      document.head.append(make("style", { id: "fantasyid-circle-style" }, STYLE));
    }
    this._svg = drawn("svg", { viewBox: "-150 -115 300 230", "data-testid": "fid-circle" });
    this.el = make(
      "div",
      {
        class: "fantasyid-circle",
        tabIndex: 0,
        role: "slider",
        "aria-label": t("Mix of the people"),
        title: t("Drag the handle between the people. Double click: all alike."),
        "data-capture-wheel": "true",
        onkeydown: (event) => this._key(event),
      },
      this._svg,
    );
    this._svg.addEventListener("pointerdown", (event) => this._down(event));
    this._svg.addEventListener("pointermove", (event) => this._held && this._move(event));
    for (const end of ["pointerup", "lostpointercapture"]) this._svg.addEventListener(end, () => this._up());
    this._svg.addEventListener("dblclick", () => this._set([0, 0], true));
    this._draw();
  }

  get value() {
    return writePlace(...this._place);
  }

  set value(text) {
    this._place = readPlace(text);
    this._draw();
  }

  /** How many people there are. @param {number} count 1..6 */
  set count(count) {
    if (count === this._count) return;
    this._count = count;
    this._draw();
  }

  destroy() {
    this._held = false;
    this._svg.replaceChildren();
  }

  _down(event) {
    if (event.button !== 0) return;
    this._held = true;
    this._svg.setPointerCapture(event.pointerId);
    this.el.focus({ preventScroll: true });
    this._move(event);
  }

  _move({ clientX, clientY }) {
    const seen = this._svg.getScreenCTM();
    const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(seen.inverse());
    this._set([x / RADIUS, -y / RADIUS]);
  }

  _up() {
    if (!this._held) return;
    this._held = false;
    this._onChange(this.value);
  }

  _key(event) {
    const step = STEP * (event.shiftKey ? 0.2 : 1);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const move = moves[event.key];
    if (move) this._set([this._place[0] + move[0], this._place[1] + move[1]], true);
    else if (event.key === "Home") this._set([0, 0], true);
    else if (event.key !== "Delete" && event.key !== "Backspace") return; // ComfyUI would delete the node
    event.preventDefault();
    event.stopPropagation();
  }

  _set([x, y], finished = false) {
    const place = within(x, y, this._count);
    const same = place[0] === this._place[0] && place[1] === this._place[1];
    this._place = place;
    this._draw();
    if (finished && !same) this._onChange(this.value);
  }

  _draw() {
    const [x, y] = within(...this._place, this._count);
    const shares = circleWeights(x, y, this._count);
    const people = shares.map((share, k) => this._person(k, share, [x, y]));
    this._svg.replaceChildren(
      drawn("circle", { class: "ring", r: RADIUS }),
      ...people.map(([line]) => line),
      ...people.flatMap(([, ...marks]) => marks),
      drawn("circle", { class: "handle", r: 8, cx: x * RADIUS, cy: -y * RADIUS }),
    );
    this.el.setAttribute(
      "aria-valuetext",
      shares.map((share, k) => t("person {number} {share}", { number: k + 1, share: percent(share) })).join(", "),
    );
  }

  _person(k, share, [x, y]) {
    const [a, b] = placeOf(k, this._count);
    const [cx, cy] = [a * RADIUS, -b * RADIUS];
    const far = 1 + 30 / RADIUS;
    const label = { class: "share", x: cx * far + (Math.abs(a) > 0.3 ? 6 * Math.sign(a) : 0), y: cy * far };
    return [
      drawn("line", {
        x1: cx,
        y1: cy,
        x2: x * RADIUS,
        y2: -y * RADIUS,
        "stroke-width": 5 * share,
        opacity: 0.2 + share,
      }),
      drawn("circle", { class: "person", r: 13, cx, cy }),
      drawn("text", { x: cx, y: cy }, String(k + 1)),
      drawn("text", label, percent(share)),
    ];
  }
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

function drawn(tag, attributes, text = "") {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}
