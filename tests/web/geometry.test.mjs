import assert from "node:assert/strict";
import { test } from "node:test";

import { bounds, editedVertices, eyeDirections, parseHead, reach, vertexNormals } from "../../web/editor/geometry.js";
import { CONTROLS, FACES, VERTICES, packedHead } from "./head.mjs";

const near = (actual, expected, tolerance = 1e-7) => {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, i) =>
    assert.ok(Math.abs(value - expected[i]) <= tolerance, `${i}: ${value} is not ${expected[i]}`),
  );
};

test("a packed head comes back as it was", () => {
  const head = parseHead(packedHead());
  assert.equal(head.vertexCount, 5);
  assert.deepEqual([...head.base], [...Float32Array.from(VERTICES)]);
  assert.deepEqual([...head.faces], FACES);
  assert.deepEqual(
    head.controls.map(({ name }) => name),
    CONTROLS.map(({ name }) => name),
  );
  assert.deepEqual([...head.controls[2].steps], [0, 3000, 4001]);
  assert.equal(head.controls[2].high, 0.5);
  assert.equal(head.step, 1e-6);
  assert.deepEqual(
    [...head.left].map((share) => share.toFixed(3)),
    ["1.000", "0.000", "0.000", "1.000", "0.500"],
  );
});

test("what is no head, newer, or cut off is refused with a sentence", () => {
  const whole = packedHead();
  assert.throws(() => parseHead(new ArrayBuffer(4)), /Expected a packed head.*4 bytes of something else/);
  assert.throws(() => parseHead(new TextEncoder().encode("<html>not found</html>").buffer), /something else/);
  assert.throws(() => parseHead(packedHead({ version: 2 })), /format 2, this page reads format 1. Reload the page/);
  assert.throws(() => parseHead(whole.slice(0, 40)), /cut off/);
  assert.throws(() => parseHead(whole.slice(0, whole.byteLength - 4)), /cut off: expected/);
  assert.throws(() => parseHead(packedHead({ faces: null })), /without triangles/);
});

test("values add up: base plus value times displacement, rounded to single precision once", () => {
  const head = parseHead(packedHead());
  const values = { face_width: 0.37, head_length: -0.8, nose_tip: 0.123, unknown: 5 };
  const expected = VERTICES.map(Math.fround).map((base, i) => {
    const steps = CONTROLS.reduce(
      (sum, { name, moves }) => sum + values[name] * (moves[Math.floor(i / 3)]?.[i % 3] ?? 0),
      0,
    );
    return Math.fround(base + steps * 1e-6);
  });
  const even = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, [value, value]]));
  assert.deepEqual([...editedVertices(head, even)], expected);
  assert.deepEqual([...editedVertices(parseHead(packedHead({ dense: true })), even)], expected);
  assert.deepEqual([...editedVertices(head, {})], [...head.base]);
  const out = new Float32Array(15).fill(9);
  assert.equal(editedVertices(head, {}, out), out); // and nothing of the values before is left
  assert.deepEqual([...out], [...head.base]);
});

test("one-sided values move their side, and the middle by half", () => {
  const head = parseHead(packedHead());
  const moved = (values) => [...editedVertices(head, values)].map((value, i) => value - head.base[i]);
  near(moved({ face_width: [1, 0] }), [-0.009, 0, 0, 0, 0, 0, 0, 0, 0, -0.009, 0, 0, 0, 0, 0]);
  near(moved({ face_width: [0, 1] }), [0, 0, 0, 0.009, 0, 0, 0.009, 0, 0, 0, 0, 0, 0, 0, 0]);
  near(moved({ nose_tip: [0.5, 0] }).slice(12), [0, 0.00075, 0.001000265], 2e-8);
});

test("normals are the triangles' ones, weighted by area", () => {
  near(vertexNormals(Float32Array.of(0, 0, 0, 1, 0, 0, 0, 1, 0), [0, 1, 2]), [0, 0, 1, 0, 0, 1, 0, 0, 1]);
  // the vertex 0 has a triangle of area 1/2 facing z and one of area 2 facing x
  const vertices = Float32Array.of(0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 2);
  const normals = vertexNormals(vertices, [0, 1, 2, 0, 3, 4]);
  near(normals.slice(0, 3), [4 / Math.sqrt(17), 0, 1 / Math.sqrt(17)]);
  near(vertexNormals(Float32Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0), [0, 1, 2]), new Array(9).fill(0)); // no area, no NaN
});

test("the reach of a control is 1 where it moves most, 0 where it does not", () => {
  const head = parseHead(
    packedHead({ controls: [{ name: "a", group: "A", moves: { 1: [3, 4, 0], 3: [0, 0, -10] } }] }),
  );
  near(reach(head, head.controls[0]), [0, 0.5, 0, 1, 0]);
});

test("bounds are the middle and half the size", () => {
  const { middle, half } = bounds(Float32Array.of(-1, 0, 5, 3, 2, 5));
  assert.deepEqual(
    [middle, half],
    [
      [1, 1, 5],
      [2, 1, 0],
    ],
  );
});

test("eyeballs are loose, round parts of the mesh", () => {
  const ball = [],
    faces = [];
  const rows = 9,
    columns = 12;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const up = (Math.PI * (row + 0.5)) / rows,
        around = (2 * Math.PI * column) / columns;
      ball.push(
        0.012 * Math.sin(up) * Math.cos(around) + 0.03,
        0.012 * Math.cos(up),
        0.012 * Math.sin(up) * Math.sin(around),
      );
      const next = row * columns + ((column + 1) % columns);
      if (row + 1 < rows) faces.push(5 + row * columns + column, 5 + next, 5 + next + columns);
      if (row + 1 < rows)
        faces.push(5 + row * columns + column, 5 + next + columns, 5 + row * columns + column + columns);
    }
  }
  const eyes = eyeDirections(
    parseHead(packedHead({ vertices: [...VERTICES, ...ball], faces: [...FACES, ...faces], controls: [] })),
  );
  near(eyes.slice(0, 15), new Array(15).fill(0));
  const [x, y, z] = eyes.slice(15, 18);
  near([x, y, z], [Math.sin(Math.PI / 18), Math.cos(Math.PI / 18), 0], 0.01);
});
