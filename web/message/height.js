/** How tall a message on a node is, so that the node makes room for all of it. */

const LINE = 16; // pixels, of the host's text-xs
const AROUND = 32; // above and below the text, the widget's own margin included

/**
 * @param {string} text lines end with "\n"; the host breaks them anywhere
 * @param {number} width pixels that a line has
 * @param {(text: string) => number} measure a line's own width in pixels
 * @returns {number} pixels
 */
export function heightOf(text, width, measure) {
  const rows = text.split("\n").map((line) => Math.max(1, Math.ceil(measure(line) / Math.max(width, 1))));
  return AROUND + LINE * rows.reduce((sum, count) => sum + count, 0);
}
