import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { circleWeights, placeOf, readPlace, within, writePlace } from "../../web/blend/circle.js";

const golden = JSON.parse(readFileSync(new URL("./golden_edit.json", import.meta.url), "utf8"));

for (const { x, y, count, weights } of golden.circle) {
  test(`shares of ${count} people at ${x}, ${y} are those of the golden file`, () => {
    circleWeights(x, y, count).forEach((weight, k) => assert.ok(Math.abs(weight - weights[k]) < 1e-9));
  });
}

test("a person's place is all that person's", () => {
  for (const count of [1, 2, 3, 4, 5, 6]) {
    for (let k = 0; k < count; k++) {
      const weights = circleWeights(...placeOf(k, count), count);
      weights.forEach((weight, other) => assert.ok(Math.abs(weight - (other === k ? 1 : 0)) < 1e-9, `${count} ${k}`));
    }
  }
});

test("the handle stays between the people, where its shares do not change", () => {
  for (const count of [2, 3, 4, 5, 6]) {
    for (const [x, y] of [[0.9, 0.9], [-1, 0.2], [0.1, -1], [0.05, 0.02]]) {
      const [a, b] = within(x, y, count);
      assert.ok(Math.hypot(a, b) <= Math.hypot(x, y) + 1e-12 && Math.hypot(a, b) <= 1 + 1e-12);
      const [there, here] = [circleWeights(x, y, count), circleWeights(a, b, count)];
      there.forEach((weight, k) => assert.ok(Math.abs(weight - here[k]) < 1e-9));
    }
  }
  assert.deepEqual(within(0.4, 0.3, 1), [0, 0]);
});

test("the place is read and written", () => {
  assert.deepEqual(readPlace(writePlace(0.25, -0.5)), [0.25, -0.5]);
  assert.equal(writePlace(-0, 1 / 3), '{"version":1,"x":0,"y":0.333}');
  for (const text of ["", "{", "null", "[1]", '{"x":"far"}', '{"x":null,"y":1e999}']) assert.deepEqual(readPlace(text), [0, 0]);
  assert.deepEqual(readPlace('{"x":7,"y":-7}'), [1, -1]);
});
