import assert from "node:assert/strict";
import { test } from "node:test";

import { effectText, shown, stepped, typed } from "../../web/editor/numbers.js";

const control = { low: -1, high: 0.5 };

test("numbers are shown with two decimals, three when needed", () => {
  assert.deepEqual([0, 0.5, -0.25, 0.123, 1, -0.0001].map(shown), ["0.00", "0.50", "-0.25", "0.123", "1.00", "0.00"]);
});

test("numbers are read as people type them", () => {
  assert.deepEqual(
    ["0.5", ",5", " -0,25 ", "+1", "50%", "\u22120.5", "-20 %"].map(typed),
    [0.5, 0.5, -0.25, 1, 0.5, -0.5, -0.2],
  );
  assert.deepEqual(
    ["", "-", ".", "abc", "1e3", "1.2.3", "0x10", "NaN", "Infinity"].map(typed),
    new Array(9).fill(null),
  );
});

test("what is shown is read back", () => {
  for (const value of [0, 0.01, -0.999, 0.125]) assert.equal(typed(shown(value)), value);
});

test("keys step, Shift steps further, and the limits hold", () => {
  const after = (key, value = 0, more = {}) => stepped({ key, ...more }, value, control);
  assert.equal(after("ArrowRight"), 0.01);
  assert.equal(after("ArrowDown"), -0.01);
  assert.equal(after("ArrowUp", 0.1, { shiftKey: true }), 0.2);
  assert.equal(after("PageDown", 0.05), -0.05);
  assert.equal(after("ArrowRight", 0.5), 0.5);
  assert.deepEqual([after("Home"), after("End"), after("Delete", 0.3), after("Backspace", 0.3)], [-1, 0.5, 0, 0]);
});

test("other keys, and those with Ctrl, are not a slider's", () => {
  assert.equal(stepped({ key: "z" }, 0, control), null);
  assert.equal(stepped({ key: "ArrowRight", ctrlKey: true }, 0, control), null);
});

test("effects are told in percent", () => {
  assert.equal(
    effectText([0, 0.0123]),
    "Moves the identity not through the 3D shape alone and by 1.2 % through the warped picture.",
  );
  assert.match(effectText([0.0001, 0]), /by less than 0.1 % through the 3D shape alone and not through/);
});
