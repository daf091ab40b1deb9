/**
 * The mathematics of dragging a face: which controls move a point as the hand does, and by how much.
 * Nothing here touches the page.
 */

/**
 * Bounded, weighted, regularised least squares: the smallest change of the values that moves a point by `target`.
 *
 * Minimises |sum_k change_k * moves_k - target|^2 + damping * sum_k change_k^2 / weights_k within the limits; values
 * at their limit are held there while the others take over what is left.
 * @param {number[][]} moves per control the movement [x, y] that a value of 1 adds
 * @param {number[]} target the movement [x, y] that is wanted
 * @param {{ low: number[], high: number[], weights?: number[], damping?: number }} options limits of each change
 * @returns {number[]} the change of each control
 */
export function solveChanges(moves, target, { low, high, weights = moves.map(() => 1), damping = 1e-3 }) {
  const changes = moves.map(() => 0);
  let free = moves.map((_, k) => k).filter((k) => weights[k] > 0);
  let left = [...target];
  while (free.length) {
    const found = ridge(
      free.map((k) => moves[k]),
      free.map((k) => weights[k]),
      left,
      damping,
    );
    const beyond = free.filter((k, n) => found[n] < low[k] || found[n] > high[k]);
    free.forEach((k, n) => (changes[k] = Math.min(high[k], Math.max(low[k], found[n]))));
    if (!beyond.length) break;
    free = free.filter((k) => !beyond.includes(k));
    const held = moves.map((_, k) => k).filter((k) => !free.includes(k));
    left = target.map((wanted, axis) => wanted - sumOver(held, (k) => changes[k] * moves[k][axis]));
  }
  return changes;
}

/** change = W M^T (M W M^T + damping I)^-1 target, with M the 2 x K movements. */
function ridge(moves, weights, target, damping) {
  const xx = sumOver(moves.keys(), (k) => weights[k] * moves[k][0] ** 2) + damping;
  const yy = sumOver(moves.keys(), (k) => weights[k] * moves[k][1] ** 2) + damping;
  const xy = sumOver(moves.keys(), (k) => weights[k] * moves[k][0] * moves[k][1]);
  const determinant = xx * yy - xy * xy;
  const x = (yy * target[0] - xy * target[1]) / determinant;
  const y = (xx * target[1] - xy * target[0]) / determinant;
  return moves.map((move, k) => weights[k] * (move[0] * x + move[1] * y));
}

function sumOver(items, term) {
  let sum = 0;
  for (const item of items) sum += term(item);
  return sum;
}

/**
 * The triangle under a point of the screen that is nearest to the camera and faces it.
 * @param {Float32Array} screen [V, 3]: pixels to the right and down, and depth (smaller is nearer)
 * @param {Uint16Array | Uint32Array} faces [F, 3], counter-clockwise from outside
 * @param {number} x
 * @param {number} y
 * @returns {{ corners: number[], shares: number[], depth: number } | null} three vertices and their shares of the point
 */
export function pickTriangle(screen, faces, x, y) {
  let best = null;
  for (let f = 0; f < faces.length; f += 3) {
    const a = 3 * faces[f],
      b = 3 * faces[f + 1],
      c = 3 * faces[f + 2];
    const ax = screen[a] - x,
      ay = screen[a + 1] - y;
    const bx = screen[b] - x,
      by = screen[b + 1] - y;
    const cx = screen[c] - x,
      cy = screen[c + 1] - y;
    const wa = cx * by - bx * cy,
      wb = ax * cy - cx * ay,
      wc = bx * ay - ax * by; // all positive inside a front face
    if (wa < 0 || wb < 0 || wc < 0) continue;
    const area = wa + wb + wc;
    if (area <= 0) continue;
    const depth = (wa * screen[a + 2] + wb * screen[b + 2] + wc * screen[c + 2]) / area;
    if (best && depth >= best.depth) continue;
    best = { corners: [a / 3, b / 3, c / 3], shares: [wa / area, wb / area, wc / area], depth };
  }
  return best;
}

/**
 * How well each control fits a grabbed point: large when the control moves this point about as far as any other,
 * and little else.
 * @param {import("./geometry.js").Head} head
 * @param {{ corners: number[], shares: number[] }} point
 * @returns {number[]} one share per control, 0 where the control does not move the point
 */
export function fit(head, { corners, shares }) {
  return head.controls.map((control) => {
    const here = Math.hypot(...moveAt(control, corners, shares));
    if (here === 0) return 0;
    const { most, spread } = extent(head, control);
    return (here / most) ** 2 / spread;
  });
}

/**
 * The movement of a point of the mesh for value 1.
 * @param {import("./geometry.js").Control} control
 * @param {number[]} corners three vertices
 * @param {number[]} shares
 * @returns {number[]} [x, y, z] in steps
 */
export function moveAt(control, corners, shares) {
  const move = [0, 0, 0];
  corners.forEach((vertex, corner) => {
    const at = indexOf(control.indices, vertex);
    if (at < 0) return;
    for (let axis = 0; axis < 3; axis++) move[axis] += shares[corner] * control.steps[3 * at + axis];
  });
  return move;
}

/** Where a vertex lies in a control's sorted list, or -1. */
function indexOf(indices, vertex) {
  let low = 0,
    high = indices.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (indices[middle] === vertex) return middle;
    if (indices[middle] < vertex) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** Largest movement of a control, and the share of the head's vertices that move with it, weighted by how far. */
function extent(head, control) {
  if (control.extent) return control.extent;
  let most = 0,
    squares = 0;
  for (let s = 0; s < control.steps.length; s += 3) {
    const squared = control.steps[s] ** 2 + control.steps[s + 1] ** 2 + control.steps[s + 2] ** 2;
    squares += squared;
    most = Math.max(most, squared);
  }
  control.extent = { most: Math.sqrt(most), spread: most && squares / most / head.vertexCount };
  return control.extent;
}
