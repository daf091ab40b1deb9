/**
 * The head in the browser: the file that Python packs, the vertices that a set of values gives, and their normals.
 *
 * The arithmetic is Python's (fantasyid_core/shape/controlpack.py): displacements are whole steps, summed in double
 * precision, added to the base vertex and rounded to single precision once. Nothing here touches the page.
 */

import { t } from "../words/words.js";

const MAGIC = "FIDC";
const VERSION = 1;
const TYPES = { float32: Float32Array, uint16: Uint16Array, uint32: Uint32Array, int16: Int16Array };

/**
 * @typedef {object} Control
 * @property {string} name what the edit's JSON calls it
 * @property {string} label what the artist calls it
 * @property {string} group
 * @property {string} help
 * @property {number} low
 * @property {number} high
 * @property {Uint16Array | Uint32Array} indices the vertices that it moves, ascending
 * @property {Int16Array} steps their displacements for a value of 1, [n, 3] in steps of the head
 */

/**
 * @typedef {object} Head
 * @property {number} vertexCount
 * @property {Float32Array} base vertices [V, 3] in metres, y up, z towards the camera
 * @property {Uint16Array | Uint32Array} faces [F, 3], counter-clockwise from outside
 * @property {number} step metres per step
 * @property {Float64Array} left [V] share of each vertex that follows the left side's value
 * @property {Control[]} controls
 */

/**
 * Reads a packed head.
 * @param {ArrayBuffer} buffer
 * @returns {Head}
 * @throws {Error} with a sentence for the user when it is something else, newer, cut off, or without triangles
 */
export function parseHead(buffer) {
  const { header, start } = readHeader(buffer);
  const read = ({ offset, type, shape }) => {
    const length = shape.reduce((product, size) => product * size, 1);
    const end = start + offset + length * TYPES[type].BYTES_PER_ELEMENT;
    if (end > buffer.byteLength) {
      const sizes = { expected: end, got: buffer.byteLength };
      throw new Error(t("The head is cut off: expected {expected} bytes, got {got}. Run the node again.", sizes));
    }
    return new TYPES[type](buffer, start + offset, length);
  };
  if (!header.faces) throw new Error(t("This head is a cloud of points without triangles: load a mesh to see it."));
  const base = read(header.vertices);
  const all = Uint32Array.from({ length: base.length / 3 }, (_, vertex) => vertex);
  return {
    vertexCount: base.length / 3,
    base,
    faces: read(header.faces),
    step: header.step,
    left: Float64Array.from(read(header.left), (share) => share / header.left_steps),
    controls: header.controls.map(({ indices, steps, ...shown }) => ({
      ...shown,
      indices: indices ? read(indices) : all,
      steps: read(steps),
    })),
  };
}

function readHeader(buffer) {
  const magic = buffer.byteLength < 12 ? "" : String.fromCharCode(...new Uint8Array(buffer, 0, 4));
  if (magic !== MAGIC) {
    const got = buffer.byteLength;
    throw new Error(t("Expected a packed head, got {got} bytes of something else. Run the node again.", { got }));
  }
  const view = new DataView(buffer);
  const version = view.getUint32(4, true);
  if (version !== VERSION) {
    const known = VERSION;
    throw new Error(
      t("The head has format {version}, this page reads format {known}. Reload the page.", { version, known }),
    );
  }
  const length = view.getUint32(8, true);
  if (12 + length > buffer.byteLength) {
    throw new Error(t("The head is cut off: got {got} bytes. Run the node again.", { got: buffer.byteLength }));
  }
  const text = new TextDecoder().decode(new Uint8Array(buffer, 12, length));
  return { header: JSON.parse(text), start: 12 + length };
}

/**
 * The edited vertices.
 * @param {Head} head
 * @param {Record<string, [number, number]>} values control name -> left, right; a missing one is 0
 * @param {Float32Array} [out] [V, 3], written and returned
 * @returns {Float32Array}
 */
export function editedVertices(head, values, out = new Float32Array(head.vertexCount * 3)) {
  const sums = (head.sums ??= [0, 0].map(() => new Float64Array(head.vertexCount * 3)));
  const [right, uneven] = sums;
  right.fill(0);
  uneven.fill(0);
  for (const control of head.controls) {
    const [leftValue, rightValue] = values[control.name] ?? [0, 0];
    if (rightValue !== 0) addSteps(right, control, rightValue);
    if (leftValue !== rightValue) addSteps(uneven, control, leftValue - rightValue);
  }
  for (let i = 0; i < out.length; i++) {
    out[i] = head.base[i] + head.step * (right[i] + head.left[(i / 3) | 0] * uneven[i]);
  }
  return out;
}

function addSteps(sum, { indices, steps }, value) {
  for (let n = 0, s = 0; n < indices.length; n++) {
    const at = indices[n] * 3;
    sum[at] += value * steps[s++];
    sum[at + 1] += value * steps[s++];
    sum[at + 2] += value * steps[s++];
  }
}

/**
 * How far a control moves every vertex, as a share of its largest movement.
 * @param {Head} head
 * @param {Control} control
 * @returns {Float32Array} [V] in 0..1
 */
export function reach(head, control) {
  const out = new Float32Array(head.vertexCount);
  let most = 0;
  control.indices.forEach((vertex, n) => {
    const length = Math.hypot(control.steps[3 * n], control.steps[3 * n + 1], control.steps[3 * n + 2]);
    out[vertex] = length;
    most = Math.max(most, length);
  });
  if (most > 0) for (let v = 0; v < out.length; v++) out[v] /= most;
  return out;
}

/**
 * Vertex normals, weighted by the triangles' areas.
 * @param {Float32Array} vertices [V, 3]
 * @param {Uint16Array | Uint32Array} faces [F, 3]
 * @param {Float32Array} [out] [V, 3] of unit length (0 where a vertex has no area around it), written and returned
 * @returns {Float32Array}
 */
export function vertexNormals(vertices, faces, out = new Float32Array(vertices.length)) {
  out.fill(0);
  for (let f = 0; f < faces.length; f += 3) {
    const a = 3 * faces[f],
      b = 3 * faces[f + 1],
      c = 3 * faces[f + 2];
    const ux = vertices[b] - vertices[a],
      uy = vertices[b + 1] - vertices[a + 1],
      uz = vertices[b + 2] - vertices[a + 2];
    const vx = vertices[c] - vertices[a],
      vy = vertices[c + 1] - vertices[a + 1],
      vz = vertices[c + 2] - vertices[a + 2];
    const x = uy * vz - uz * vy,
      y = uz * vx - ux * vz,
      z = ux * vy - uy * vx;
    out[a] += x;
    out[a + 1] += y;
    out[a + 2] += z;
    out[b] += x;
    out[b + 1] += y;
    out[b + 2] += z;
    out[c] += x;
    out[c + 1] += y;
    out[c + 2] += z;
  }
  for (let i = 0; i < out.length; i += 3) {
    const length = Math.sqrt(out[i] * out[i] + out[i + 1] * out[i + 1] + out[i + 2] * out[i + 2]) || 1;
    out[i] /= length;
    out[i + 1] /= length;
    out[i + 2] /= length;
  }
  return out;
}

/**
 * Middle and half size of the vertices' bounding box.
 * @param {Float32Array} vertices [V, 3]
 * @returns {{ middle: number[], half: number[] }}
 */
export function bounds(vertices) {
  const low = [Infinity, Infinity, Infinity],
    high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < vertices.length; i++) {
    low[i % 3] = Math.min(low[i % 3], vertices[i]);
    high[i % 3] = Math.max(high[i % 3], vertices[i]);
  }
  return {
    middle: low.map((value, axis) => (value + high[axis]) / 2),
    half: low.map((value, axis) => (high[axis] - value) / 2),
  };
}

/**
 * The eyeballs: parts of the mesh that hang together with nothing else and are about as wide as high as deep.
 * @param {Head} head
 * @returns {Float32Array} [V, 3] the direction from the eyeball's middle, unit length; 0 for all other vertices
 */
export function eyeDirections(head) {
  const out = new Float32Array(head.vertexCount * 3);
  for (const part of parts(head)) {
    const { middle, half } = bounds(Float32Array.from(part.flatMap((v) => [...head.base.subarray(3 * v, 3 * v + 3)])));
    const round = part.length >= 50 && Math.min(...half) > 0.8 * Math.max(...half) && Math.max(...half) < 0.02;
    if (!round) continue;
    for (const v of part) {
      const away = middle.map((value, axis) => head.base[3 * v + axis] - value);
      const length = Math.hypot(...away) || 1;
      out.set(
        away.map((value) => value / length),
        3 * v,
      );
    }
  }
  return out;
}

function parts({ vertexCount, faces }) {
  const parent = Int32Array.from({ length: vertexCount }, (_, v) => v);
  const root = (v) => {
    while (parent[v] !== v) v = parent[v] = parent[parent[v]];
    return v;
  };
  for (let f = 0; f < faces.length; f += 3) {
    parent[root(faces[f + 1])] = root(faces[f]);
    parent[root(faces[f + 2])] = root(faces[f]);
  }
  const found = new Map();
  for (let v = 0; v < vertexCount; v++) {
    const key = root(v);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(v);
  }
  return [...found.values()];
}
