import assert from "node:assert/strict";
import { test } from "node:test";

import { Grab, controlsAt, leftShare } from "../../web/editor/drag.js";
import { parseHead } from "../../web/editor/geometry.js";
import { pixelsPerMetre, toPixels } from "../../web/editor/project.js";
import { pickTriangle, solveChanges } from "../../web/editor/solve.js";
import { packedHead } from "./head.mjs";

const close = (actual, expected, tolerance, what) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual} is not ${expected}`);
const wide = { low: [-1, -1, -1], high: [1, 1, 1], damping: 1e-9 };

test("a movement that one control makes alone is made by it", () => {
  const changes = solveChanges(
    [
      [20, 0],
      [0, 10],
      [0, 0],
    ],
    [5, 0],
    wide,
  );
  close(changes[0], 0.25, 1e-6, "changes 0");
  close(changes[1], 0, 1e-6, "changes 1");
  assert.equal(changes[2], 0);
});

test("without limits and damping the movement is met exactly, by the smallest change", () => {
  const moves = [
    [20, 3],
    [4, -10],
    [9, 9],
  ];
  const changes = solveChanges(moves, [3, -2], wide);
  for (const axis of [0, 1])
    close(
      moves.reduce((sum, move, k) => sum + changes[k] * move[axis], 0),
      [3, -2][axis],
      1e-6,
      "moved",
    );
  const still = [4 * 9 - 9 * -10, 9 * 3 - 20 * 9, 20 * -10 - 4 * 3]; // changes that leave the point where it is
  close(
    still.reduce((sum, value, k) => sum + value * changes[k], 0),
    0,
    1e-4,
    "needless part",
  );
});

test("a control at its limit stays there and the others take over", () => {
  const changes = solveChanges(
    [
      [10, 0],
      [10, 0],
    ],
    [12, 0],
    { low: [-1, -1], high: [0.2, 1.5], damping: 1e-9 },
  );
  close(changes[0], 0.2, 1e-9, "at its limit");
  close(changes[1], 1.0, 1e-6, "the other one");
  const far = solveChanges(
    [
      [10, 0],
      [10, 0],
    ],
    [1e6, 0],
    { low: [-1, -1], high: [0.2, 1.5] },
  );
  assert.deepEqual(far, [0.2, 1.5]);
});

test("weights share the movement, a weight of 0 takes no part", () => {
  const changes = solveChanges(
    [
      [10, 0],
      [10, 0],
      [10, 0],
    ],
    [10, 0],
    { ...wide, weights: [3, 1, 0] },
  );
  close(changes[0] / changes[1], 3, 1e-6, "share");
  assert.equal(changes[2], 0);
});

test("a movement that is hardly a control's own does not drive it far", () => {
  const [change] = solveChanges([[20, 0.01]], [0, 10], { low: [-1], high: [1], damping: 8 });
  assert.ok(Math.abs(change) < 0.01);
});

test("vertices come to the pixels where a camera sees them", () => {
  const looking = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 2]; // along -z, everything at twice the size away
  const pixels = toPixels(Float32Array.of(0, 0, 0.5, 2, 2, 0, -2, -1, 0), looking, 200, 100);
  [100, 50, -0.25, 200, 0, 0, 0, 75, 0].forEach((value, i) => close(pixels[i], value, 1e-6, `${i}`));
});

test("pixels per metre are the derivative of the projection", () => {
  const matrix = [2.1, 0.3, 0.1, 0.2, -0.4, 1.9, 0.2, -0.1, 0.3, 0.1, -1.2, -0.9, 0.1, 0.2, 1, 3];
  const point = [0.03, -0.05, 0.07];
  const found = pixelsPerMetre(point, matrix, 400, 300);
  const at = (p) => {
    const [x, y, z] = p;
    const w = matrix[3] * x + matrix[7] * y + matrix[11] * z + matrix[15];
    return [
      ((matrix[0] * x + matrix[4] * y + matrix[8] * z + matrix[12]) / w + 1) * 200,
      (1 - (matrix[1] * x + matrix[5] * y + matrix[9] * z + matrix[13]) / w) * 150,
    ];
  };
  for (const axis of [0, 1, 2]) {
    const step = 1e-6;
    const [before, after] = [-step, step].map((by) => at(point.map((value, a) => value + (a === axis ? by : 0))));
    for (const row of [0, 1]) close(found[row][axis], (after[row] - before[row]) / (2 * step), 1e-4, `${row} ${axis}`);
  }
});

test("the nearest triangle that faces the camera is picked, with the point's place in it", () => {
  const head = parseHead(packedHead());
  const pixels = toPixels(head.base, [10, 0, 0, 0, 0, 10, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1], 200, 200);
  const { corners, shares } = pickTriangle(pixels, head.faces, 100, 150); // between the two lower corners and the middle
  assert.deepEqual(corners, [0, 1, 4]);
  close(shares[2], 0.5, 1e-6, "share of the middle");
  close(shares[0] + shares[1] + shares[2], 1, 1e-6, "shares");
  assert.equal(pickTriangle(pixels, head.faces, 250, 100), null);
  assert.equal(pickTriangle(pixels, Uint16Array.of(1, 0, 4), 100, 150), null); // seen from behind
  const two = Float32Array.of(0, 100, 0.5, 100, 100, 0.5, 50, 0, 0.5, 0, 100, 0.1, 100, 100, 0.1, 50, 0, 0.1);
  assert.deepEqual(pickTriangle(two, Uint16Array.of(0, 1, 2, 3, 4, 5), 50, 60).corners, [3, 4, 5]);
});

const FRONT = [
  [1000, 0, 0],
  [0, -1000, 0],
]; // a millimetre is a pixel
const at = (vertex) => ({ corners: [vertex, vertex, vertex], shares: [1, 0, 0] });
const found = (vertex, toScreen = FRONT, usable = undefined, sides = undefined) =>
  controlsAt(parseHead(packedHead()), at(vertex), toScreen, usable, sides);
const names = (candidates) => candidates.map(({ control }) => control.name);
const CLOSE_UP = FRONT.map((row) => row.map((value) => 10 * value));

test("a point belongs to the controls that move it", () => {
  assert.deepEqual(names(found(4)), ["nose_tip"]);
  assert.deepEqual(names(found(0)), ["face_width"]);
  assert.deepEqual(names(found(2)).sort(), ["face_width", "head_length"]);
  assert.equal(found(2)[0].weight, 1);
  assert.deepEqual(
    found(4, FRONT, () => false),
    [],
  );
});

test("what moves towards the viewer gives way to what moves across", () => {
  const controls = [
    { name: "depth", group: "A", moves: { 4: [0, 0, 5000] } },
    { name: "height", group: "A", moves: { 4: [0, 5000, 0] } },
  ];
  const head = parseHead(packedHead({ controls }));
  const side = [
    [0, 0, -1000],
    [0, -1000, 0],
  ];
  assert.deepEqual(names(controlsAt(head, at(4), FRONT)), ["height"]);
  assert.deepEqual(names(controlsAt(head, at(4), side)).sort(), ["depth", "height"]);
});

test("close up the point stays under the pointer", () => {
  const { face_width: width, head_length: length } = new Grab(found(2, CLOSE_UP), () => 0).moved(45, -60); // 90 and 120 pixels per value
  close(width, 0.5, 0.025, "to the side");
  close(length, 0.5, 0.025, "up");
});

test("from afar the hand has room: 70 pixels for a value of 1", () => {
  close(new Grab(found(0), () => 0).moved(-35, 0).face_width, 0.5, 0.01, "outwards");
});

test("from where the values are, as far as they go", () => {
  const grab = new Grab(found(0, CLOSE_UP), () => 0.5);
  close(grab.moved(45, 0).face_width, 0, 0.01, "the left corner to the right");
  assert.equal(grab.moved(0, 0).face_width, 0.5);
  assert.equal(grab.moved(1000, 0).face_width, -1);
  assert.equal(new Grab(found(4), () => 0).moved(0, -1000).nose_tip, 0.5); // its own limit
});

test("controls that may not be used are not moved", () => {
  const candidates = found(2, FRONT, ({ name }) => name !== "face_width");
  assert.deepEqual(Object.keys(new Grab(candidates, () => 0).moved(5, 5)), ["head_length"]);
});

test("on one side only, a point moves as far as its share of that side", () => {
  close(found(0, FRONT, undefined, ["left"])[0].move[0], -9, 1e-9, "the left corner");
  assert.deepEqual(found(0, FRONT, undefined, ["right"]), []);
  assert.equal(leftShare(parseHead(packedHead()), at(1)), 0);
});
