/** A made-up head of few vertices, packed as Python packs one. */

/** Four corners of a square facing the camera and its middle, [V, 3] in metres. */
export const VERTICES = [-0.1, -0.1, 0, 0.1, -0.1, 0, 0.1, 0.1, 0, -0.1, 0.1, 0, 0, 0, 0.05];
export const FACES = [0, 1, 4, 1, 2, 4, 2, 3, 4, 3, 0, 4];

/** Wider, higher, and a nose: name -> { vertex: [x, y, z] in micrometres }. */
export const CONTROLS = [
  { name: "face_width", group: "Face", moves: { 0: [-9000, 0, 0], 1: [9000, 0, 0], 2: [9000, 0, 0], 3: [-9000, 0, 0] } },
  { name: "head_length", group: "Head", moves: { 2: [0, 12000, 0], 3: [0, 12000, 0] } },
  { name: "nose_tip", group: "Nose", moves: { 4: [0, 3000, 4001] }, max: 0.5 },
];

/** @returns {ArrayBuffer} */
export function packedHead({ vertices = VERTICES, faces = FACES, controls = CONTROLS, version = 1 } = {}) {
  const blocks = [];
  let size = 0;
  const put = (array) => {
    const offset = size;
    blocks.push(new Uint8Array(array.buffer));
    size += array.byteLength;
    return offset;
  };
  const arrays = {
    vertices: { offset: put(Float32Array.from(vertices)), dtype: "float32" },
    faces: { offset: put(Uint16Array.from(faces)), dtype: "uint16" },
  };
  const described = controls.map(({ name, group, moves, min = -1, max = 1 }) => ({
    name, group, min, max,
    label: name.replace("_", " "),
    help: `Help for ${name}.`,
    count: Object.keys(moves).length,
    indices: put(Uint16Array.from(Object.keys(moves), Number)),
    steps: put(Int16Array.from(Object.values(moves).flat())),
  }));
  const header = { vertex_count: vertices.length / 3, face_count: faces.length / 3, scale: 1e-6, controls: described, arrays };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const start = new Uint8Array(12);
  start.set(new TextEncoder().encode("FIDC"));
  new DataView(start.buffer).setUint32(4, version, true);
  new DataView(start.buffer).setUint32(8, text.length, true);
  const whole = new Uint8Array(12 + text.length + size);
  let at = 0;
  for (const block of [start, text, ...blocks]) {
    whole.set(block, at);
    at += block.length;
  }
  return whole.buffer;
}
