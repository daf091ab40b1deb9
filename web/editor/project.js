/**
 * From metres to pixels, for picking and dragging. Nothing here touches the page.
 */

/**
 * @param {Float32Array} vertices [V, 3]
 * @param {number[]} matrix the camera's 4 x 4 view and projection, column by column
 * @param {number} width pixels
 * @param {number} height pixels
 * @param {Float32Array} [out] [V, 3], written and returned
 * @returns {Float32Array} pixels to the right and down, and depth -1..1 (smaller is nearer)
 */
export function toPixels(vertices, matrix, width, height, out = new Float32Array(vertices.length)) {
  const m = matrix;
  for (let i = 0; i < vertices.length; i += 3) {
    const x = vertices[i],
      y = vertices[i + 1],
      z = vertices[i + 2];
    const w = m[3] * x + m[7] * y + m[11] * z + m[15];
    out[i] = ((m[0] * x + m[4] * y + m[8] * z + m[12]) / w + 1) * 0.5 * width;
    out[i + 1] = (1 - (m[1] * x + m[5] * y + m[9] * z + m[13]) / w) * 0.5 * height;
    out[i + 2] = (m[2] * x + m[6] * y + m[10] * z + m[14]) / w;
  }
  return out;
}

/**
 * How pixels change with metres at one point.
 * @param {number[]} point [x, y, z] metres
 * @param {number[]} matrix
 * @param {number} width
 * @param {number} height
 * @returns {number[][]} [2, 3] pixels right and down per metre
 */
export function pixelsPerMetre(point, matrix, width, height) {
  const m = matrix;
  const row = (r) => m[r] * point[0] + m[4 + r] * point[1] + m[8 + r] * point[2] + m[12 + r];
  const w = row(3);
  const along = (r, half) => [0, 1, 2].map((axis) => (half * (m[4 * axis + r] - (row(r) / w) * m[4 * axis + 3])) / w);
  return [along(0, width / 2), along(1, -height / 2)];
}
