/** A made-up head of few vertices, packed as Python packs one. */

/** Four corners of a square facing the camera and its middle, [V, 3] in metres. */
export const VERTICES = [-0.1, -0.1, 0, 0.1, -0.1, 0, 0.1, 0.1, 0, -0.1, 0.1, 0, 0, 0, 0.05];
export const FACES = [0, 1, 4, 1, 2, 4, 2, 3, 4, 3, 0, 4];

/** Wider, higher, and a nose: name -> { vertex: [x, y, z] in micrometres }. */
export const CONTROLS = [
  {
    name: "face_width",
    group: "Face",
    moves: { 0: [-9000, 0, 0], 1: [9000, 0, 0], 2: [9000, 0, 0], 3: [-9000, 0, 0] },
  },
  { name: "head_length", group: "Head", moves: { 2: [0, 12000, 0], 3: [0, 12000, 0] } },
  { name: "nose_tip", group: "Nose", moves: { 4: [0, 3000, 4001] }, high: 0.5 },
];

/** How far the left side of the picture goes: the left corners, half of the middle. */
export const LEFT = [65535, 0, 0, 65535, 32768];

/** @returns {ArrayBuffer} */
export function packedHead({
  vertices = VERTICES,
  faces = FACES,
  controls = CONTROLS,
  left = LEFT,
  version = 1,
  dense = false,
} = {}) {
  const blocks = [];
  let size = 0;
  const put = (array, type, shape) => {
    const place = { offset: size, type, shape };
    blocks.push([size, new Uint8Array(array.buffer)]);
    size += Math.ceil(array.byteLength / 4) * 4;
    return place;
  };
  const count = vertices.length / 3;
  const header = {
    step: 1e-6,
    left_steps: 65535,
    vertices: put(Float32Array.from(vertices), "float32", [count, 3]),
    faces: faces && put(Uint16Array.from(faces), "uint16", [faces.length / 3, 3]),
    left: put(
      Uint16Array.from({ length: count }, (_, v) => left[v] ?? 0),
      "uint16",
      [count],
    ),
    controls: controls.map(({ name, group, moves, low = -1, high = 1 }) => {
      const moving = dense ? Array.from({ length: count }, (_, v) => v) : Object.keys(moves).map(Number);
      const steps = moving.flatMap((vertex) => moves[vertex] ?? [0, 0, 0]);
      return {
        name,
        group,
        low,
        high,
        label: name.replace("_", " "),
        help: `Help for ${name}.`,
        steps: put(Int16Array.from(steps), "int16", [moving.length, 3]),
        indices: dense ? null : put(Uint16Array.from(moving), "uint16", [moving.length]),
      };
    }),
  };
  const text = JSON.stringify(header);
  const head = new TextEncoder().encode(text + " ".repeat(3 - ((text.length + 3) % 4)));
  const whole = new Uint8Array(12 + head.length + size);
  whole.set(new TextEncoder().encode("FIDC"));
  new DataView(whole.buffer).setUint32(4, version, true);
  new DataView(whole.buffer).setUint32(8, head.length, true);
  whole.set(head, 12);
  for (const [offset, block] of blocks) whole.set(block, 12 + head.length + offset);
  return whole.buffer;
}
