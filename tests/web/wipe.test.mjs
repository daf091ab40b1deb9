import assert from "node:assert/strict";
import { test } from "node:test";

import { heightOf } from "../../web/message/height.js";
import { shareOf } from "../../web/wipe/wipe.js";

const measure = (text) => 10 * text.length;

test("the wipe follows the pointer and stays on the picture", () => {
  assert.equal(shareOf(150, 100, 200), 0.25);
  assert.equal(shareOf(-7, 100, 200), 0);
  assert.equal(shareOf(999, 100, 200), 1);
  assert.equal(shareOf(5, 5, 0), 0.5);
});

test("a message gets a row for every line and every break", () => {
  const one = heightOf("short", 100, measure);
  assert.equal(heightOf("short\nshort", 100, measure) - one, 16);
  assert.equal(heightOf("x".repeat(25), 100, measure) - one, 32);
  assert.equal(heightOf("\n", 100, measure) - one, 16);
});
