/** The same golden file that tests/web/test_golden.py reads in Python. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { readEdit } from "../../web/editor/edit.js";
import { editedVertices, parseHead } from "../../web/editor/geometry.js";
import { packedHead } from "./head.mjs";

const golden = JSON.parse(readFileSync(new URL("./golden_edit.json", import.meta.url), "utf8"));
const controls = Object.entries(golden.controls).map(([name, { low, high, steps }]) => ({
  name,
  low,
  high,
  group: "G",
  moves: Object.fromEntries(steps.map((step, vertex) => [vertex, step]).filter(([, step]) => step.some(Boolean))),
}));
const head = parseHead(packedHead({ vertices: golden.vertices.flat(), faces: [0, 1, 2], left: golden.left, controls }));

for (const { text, values, vertices } of golden.edits) {
  test(`an edit means what the golden file says: ${text || "empty"}`, () => {
    const edit = readEdit(text, head.controls);
    assert.deepEqual(edit.values, values);
    const shown = editedVertices(head, edit.values);
    vertices
      .flat()
      .forEach((value, i) => assert.ok(Math.abs(shown[i] - value) < 1e-8, `${i}: ${shown[i]} is not ${value}`));
  });
}
