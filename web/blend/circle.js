/**
 * Up to six people on a circle, and how much each has of a mix for a handle between them.
 *
 * The same as Python's `circle_weights` (fantasyid_core/shape/blend.py): x to the right, y up, the circle's radius 1,
 * the first person at the top, the next clockwise. Nothing here touches the page.
 */

export const VERSION = 1;

/** Where a person stands. @param {number} k @param {number} count @returns {[number, number]} */
export function placeOf(k, count) {
  const angle = Math.PI / 2 - (2 * Math.PI * k) / count;
  return [Math.cos(angle), Math.sin(angle)];
}

/** The sides of the people's polygon: outward directions, so that the middle is at distance 1. */
function outwards(count) {
  const shrink = 1 + Math.cos((2 * Math.PI) / count);
  return Array.from({ length: count }, (_, k) => {
    const [a, b] = [placeOf(k, count), placeOf((k + 1) % count, count)];
    return [(a[0] + b[0]) / shrink, (a[1] + b[1]) / shrink];
  });
}

/**
 * Shares of the people, adding to one (Wachspress' coordinates).
 * @param {number} x @param {number} y @param {number} count 1..6
 * @returns {number[]}
 */
export function circleWeights(x, y, count) {
  if (count === 1) return [1];
  if (count === 2) {
    const share = (limited(y) + 1) / 2;
    return [share, 1 - share];
  }
  const reach = reaches(x, y, count);
  const weights = reach.map((_, k) => {
    const before = (k + count - 1) % count;
    return reach.reduce((product, far, side) => (side === k || side === before ? product : product * far), 1);
  });
  const sum = weights.reduce((total, weight) => total + weight);
  return weights.map((weight) => weight / sum);
}

/** Distance from each side of the polygon: 1 in the middle, 0 on the side; never negative. */
function reaches(x, y, count) {
  const reach = outwards(count).map(([a, b]) => 1 - (a * x + b * y));
  const least = Math.min(...reach);
  return least < 0 ? reach.map((far) => 1 - (1 - far) / (1 - least)) : reach;
}

/** The nearest place of the handle that is not beyond the people. @returns {[number, number]} */
export function within(x, y, count) {
  if (count === 1) return [0, 0];
  if (count === 2) return [0, limited(y)];
  const least = Math.min(...outwards(count).map(([a, b]) => 1 - (a * x + b * y)));
  return least < 0 ? [x / (1 - least), y / (1 - least)] : [x, y];
}

function limited(value) {
  return Math.min(1, Math.max(-1, value));
}

/** Reads the widget's JSON; never throws: what is no place is the middle. @param {string} text @returns {[number, number]} */
export function readPlace(text) {
  let content;
  try {
    content = JSON.parse(text || "{}");
  } catch {
    return [0, 0];
  }
  const number = (value) => (Number.isFinite(value) ? limited(value) : 0);
  return [number(content?.x), number(content?.y)];
}

/** @param {number} x @param {number} y @returns {string} */
export function writePlace(x, y) {
  const rounded = (value) => Math.round(value * 1000) / 1000 || 0;
  return JSON.stringify({ version: VERSION, x: rounded(x), y: rounded(y) });
}
