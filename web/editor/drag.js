/**
 * Dragging on the face: which controls a grabbed point belongs to, and what they become while the hand moves.
 *
 * The point follows the pointer, slower where the whole range of its controls is only a few pixels on the screen.
 * Nothing here touches the page.
 */

import { SIDES } from "./edit.js";
import { fit, moveAt, solveChanges } from "./solve.js";

const TOGETHER = 5; // controls that one drag moves at most: more would feel like kneading
const LEAST = 0.05; // controls that fit less than this share of the best one are left alone
const DAMPING = 0.01; // how firmly a control is kept from moving far for a movement that is hardly its own
const FULL = 70; // pixels that the pointer travels at least for a value of 1: a hand is no finer than that

/**
 * @typedef {object} Candidate a control that can carry a point of the face
 * @property {import("./geometry.js").Control} control
 * @property {number[]} move pixels [right, down] that a value of 1 moves the point
 * @property {number} weight how well it fits; the best one's is 1
 */

/** How much of a point follows the left side's value: 0..1. */
export function leftShare(head, { corners, shares }) {
  return corners.reduce((sum, vertex, n) => sum + shares[n] * head.left[vertex], 0);
}

/**
 * The controls that a point of the face belongs to, the best first. What moves the point towards the viewer counts
 * little: it can be seen, and taken, from the side.
 * @param {import("./geometry.js").Head} head
 * @param {{ corners: number[], shares: number[] }} point
 * @param {number[][]} toScreen [2, 3] pixels right and down per metre at the point
 * @param {(control: import("./geometry.js").Control) => boolean} [usable]
 * @param {string[]} [sides] the sides that are moved
 * @returns {Candidate[]}
 */
export function controlsAt(head, point, toScreen, usable = () => true, sides = SIDES) {
  const fits = fit(head, point);
  const left = leftShare(head, point);
  const share = sides.length === 2 ? 1 : sides[0] === SIDES[0] ? left : 1 - left;
  const perMetre = Math.hypot(...toScreen.flat()) / Math.SQRT2;
  const candidates = head.controls.map((control, k) => {
    if (fits[k] === 0 || !usable(control)) return { control, weight: 0 };
    const metres = moveAt(control, point.corners, point.shares).map((steps) => steps * head.step * share);
    const move = toScreen.map((row) => row.reduce((sum, part, axis) => sum + part * metres[axis], 0));
    const seen = Math.hypot(...move) / (perMetre * Math.hypot(...metres)); // 0 towards the viewer .. 1 across
    return { control, move, weight: fits[k] * seen ** 4 };
  });
  const found = candidates.sort((a, b) => b.weight - a.weight).slice(0, TOGETHER);
  const best = found[0]?.weight ?? 0;
  return found.filter(({ weight }) => weight > LEAST * best).map((each) => ({ ...each, weight: each.weight / best }));
}

/** A point of the face in the hand. */
export class Grab {
  /**
   * @param {Candidate[]} candidates
   * @param {(name: string) => number} value of a control at the start
   */
  constructor(candidates, value) {
    this.controls = candidates.map(({ control }) => control);
    this._candidates = candidates;
    this._start = candidates.map(({ control }) => value(control.name));
    const strengths = candidates.map(({ move, weight }) => weight * (move[0] ** 2 + move[1] ** 2));
    const strongest = Math.max(1e-9, ...strengths);
    this._damping = DAMPING * strongest;
    this._gear = Math.min(1, Math.sqrt(strongest) / FULL); // close up, the point stays under the pointer
  }

  /** The value of a grabbed control at the start. @param {string} name */
  start(name) {
    return this._start[this.controls.findIndex((control) => control.name === name)];
  }

  /**
   * @param {number} x pixels that the pointer is to the right of its start
   * @param {number} y pixels that it is below
   * @returns {Record<string, number>} the values of the grabbed controls
   */
  moved(x, y) {
    const changes = solveChanges(
      this._candidates.map(({ move }) => move),
      [x * this._gear, y * this._gear],
      {
        low: this._candidates.map(({ control }, k) => control.low - this._start[k]),
        high: this._candidates.map(({ control }, k) => control.high - this._start[k]),
        weights: this._candidates.map(({ weight }) => weight),
        damping: this._damping,
      },
    );
    return Object.fromEntries(this._candidates.map(({ control }, k) => [control.name, this._start[k] + changes[k]]));
  }
}
