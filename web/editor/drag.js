/**
 * Dragging on the face: which controls a grabbed point belongs to, and what they become while the hand moves.
 *
 * The point follows the pointer as far as its controls can carry it. Nothing here touches the page.
 */

import { fit, moveAt, solveChanges } from "./solve.js";

const TOGETHER = 4; // controls that one drag moves at most: more would feel like kneading
const LEAST = 0.06; // controls that fit less than this share of the best one are left alone
const DAMPING = 0.01; // how firmly a control is kept from moving far for a movement that is hardly its own

/**
 * The controls that a point of the face belongs to, the best first.
 * @param {import("./geometry.js").Head} head
 * @param {{ corners: number[], shares: number[] }} point
 * @param {(control: import("./geometry.js").Control) => boolean} [usable]
 * @returns {{ control: import("./geometry.js").Control, weight: number }[]} the best weight is 1
 */
export function controlsAt(head, point, usable = () => true) {
  const fits = fit(head, point);
  const found = head.controls
    .map((control, k) => ({ control, weight: usable(control) ? fits[k] : 0 }))
    .sort((a, b) => b.weight - a.weight)
    .slice(0, TOGETHER);
  const best = found[0]?.weight ?? 0;
  return found.filter(({ weight }) => weight > LEAST * best).map(({ control, weight }) => ({ control, weight: weight / best }));
}

/** A point of the face in the hand. */
export class Grab {
  /**
   * @param {import("./geometry.js").Head} head
   * @param {{ corners: number[], shares: number[] }} point
   * @param {number[][]} toScreen [2, 3] pixels right and down per metre at the point
   * @param {Record<string, number>} values as they are at the start
   * @param {(control: import("./geometry.js").Control) => boolean} [usable]
   */
  constructor(head, point, toScreen, values, usable) {
    const found = controlsAt(head, point, usable);
    this.controls = found.map(({ control }) => control);
    this._start = this.controls.map(({ name }) => values[name] ?? 0);
    this._moves = this.controls.map((control) => {
      const move = moveAt(control, point.corners, point.shares);
      return toScreen.map((row) => row.reduce((sum, part, axis) => sum + part * move[axis] * head.scale, 0));
    });
    this._weights = found.map(({ weight }) => weight);
    const strongest = this._moves.map(([x, y], k) => this._weights[k] * (x * x + y * y));
    this._damping = DAMPING * Math.max(1e-9, ...strongest);
  }

  /**
   * @param {number} x pixels to the right since the start
   * @param {number} y pixels down since the start
   * @returns {Record<string, number>} the values of the grabbed controls
   */
  moved(x, y) {
    const changes = solveChanges(this._moves, [x, y], {
      low: this.controls.map(({ min }, k) => min - this._start[k]),
      high: this.controls.map(({ max }, k) => max - this._start[k]),
      weights: this._weights,
      damping: this._damping,
    });
    return Object.fromEntries(this.controls.map(({ name }, k) => [name, this._start[k] + changes[k]]));
  }
}
