import assert from "node:assert/strict";
import { test } from "node:test";

import { written } from "../../web/editor/edit.js";
import { EditState } from "../../web/editor/state.js";

const CONTROLS = ["face_width", "jaw_width", "nose_width"].map((name) => ({
  name,
  label: name,
  group: "G",
  low: -1,
  high: 1,
}));

/** Values as JSON has them. */
const plain = (state) => written(state.values);

function started(text) {
  const state = new EditState(text);
  state.setControls(CONTROLS);
  const events = [];
  state.on("change", () => events.push(["change", plain(state)]));
  state.on("finish", () => events.push(["finish", state.text]));
  return { state, events };
}

const json = (values) => JSON.stringify({ version: 1, values });

test("a moving value is shown, and written once when it stops", () => {
  const { state, events } = started();
  for (const value of [0.1, 0.2, 0.3]) state.preview({ face_width: value });
  assert.equal(state.text, "{}"); // nothing is written while it moves
  state.finish();
  state.finish();
  assert.deepEqual(
    events.map(([event]) => event),
    ["change", "change", "change", "finish"],
  );
  assert.equal(state.text, json({ face_width: 0.3 }));
});

test("a change to the same value is none", () => {
  const { state, events } = started(json({ face_width: 0.3 }));
  state.set({ face_width: 0.3 });
  assert.deepEqual(events, []);
  assert.ok(!state.canUndo);
});

test("undo and redo go through finished changes, and a new change ends the redo", () => {
  const { state } = started();
  state.set({ face_width: 0.1 });
  state.set({ jaw_width: 0.2 });
  state.undo();
  assert.equal(state.text, json({ face_width: 0.1 }));
  state.undo();
  assert.deepEqual([plain(state), state.canUndo], [{}, false]);
  state.undo();
  state.redo();
  state.redo();
  assert.deepEqual([plain(state), state.canRedo], [{ face_width: 0.1, jaw_width: 0.2 }, false]);
  state.undo();
  state.set({ nose_width: 1 });
  assert.ok(!state.canRedo);
  assert.deepEqual(plain(state), { face_width: 0.1, nose_width: 1 });
});

test("history forgets its oldest steps", () => {
  const { state } = started();
  for (let step = 1; step <= 300; step++) state.set({ face_width: step / 1000 });
  let steps = 0;
  for (; state.canUndo; steps++) state.undo();
  assert.equal(steps, 199);
  assert.equal(state.value("face_width"), 0.101);
});

test("what is given up comes back", () => {
  const { state } = started();
  state.set({ face_width: 0.1 });
  state.preview({ face_width: 0.9 });
  state.cancel();
  assert.deepEqual(plain(state), { face_width: 0.1 });
});

test("an edit that the host brings back is a step in the history", () => {
  const { state } = started();
  state.set({ face_width: 0.1 });
  state.set({ face_width: 0.2 });
  state.load(json({ face_width: 0.1 })); // the host's own undo
  assert.ok(state.canRedo);
  state.redo();
  assert.deepEqual(plain(state), { face_width: 0.2 });
  state.load(json({ nose_width: 0.7 })); // another workflow
  assert.deepEqual([state.canUndo, state.canRedo, plain(state)], [false, false, { nose_width: 0.7 }]);
});

test("what is loaded is written back unchanged until something changes", () => {
  const odd = '{ "version": 1, "values": { "face_width": 0.50 } }';
  const { state, events } = started();
  state.load(odd);
  assert.equal(state.text, odd);
  assert.deepEqual(events, [["change", { face_width: 0.5 }]]);
  const broken = started("{oops").state;
  assert.equal(broken.text, "{oops");
  assert.equal(broken.notes.length, 1);
});

test("controls of another head: what it lacks is kept and comes back with the next one", () => {
  const { state } = started();
  state.set({ face_width: 0.5, jaw_width: 0.25 });
  state.setControls(CONTROLS.slice(0, 1));
  assert.deepEqual(plain(state), { face_width: 0.5 });
  assert.equal(state.text, json({ face_width: 0.5, jaw_width: 0.25 }));
  state.set({ face_width: 0.75 });
  assert.equal(state.text, json({ face_width: 0.75, jaw_width: 0.25 }));
  state.setControls(CONTROLS);
  assert.deepEqual(plain(state), { face_width: 0.75, jaw_width: 0.25 });
});

test("reset, presets and dice leave pinned controls alone", () => {
  const { state } = started();
  state.set({ face_width: 0.5, jaw_width: 0.5 });
  state.togglePin("face_width");
  state.reset();
  assert.deepEqual(plain(state), { face_width: 0.5 });
  state.replace({ face_width: [-1, -1], nose_width: [0.25, 0.25] });
  assert.deepEqual(plain(state), { face_width: 0.5, nose_width: 0.25 });
  state.randomise(1, () => 0.9);
  assert.deepEqual(plain(state), { face_width: 0.5, jaw_width: 0.8, nose_width: 0.8 });
  state.reset(["face_width"]); // by name: the artist's own hand
  assert.equal(state.value("face_width"), 0);
  state.togglePin("face_width");
  state.reset();
  assert.deepEqual(plain(state), {});
});

test("dice stay within the limits and within how far they may go, and leave mixtures alone", () => {
  const state = new EditState();
  state.setControls([
    { name: "a", low: -1, high: 0.5 },
    { name: "b", low: 0, high: 1 },
    { name: "age", group: "Whole face", low: -1, high: 1 },
  ]);
  const seen = { a: [], b: [] };
  for (let roll = 0; roll < 200; roll++) {
    state.randomise(0.4);
    for (const name of ["a", "b"]) seen[name].push(state.value(name));
  }
  assert.ok(Math.min(...seen.a) < -0.3 && Math.min(...seen.a) >= -0.4 && Math.max(...seen.a) <= 0.2);
  assert.ok(Math.min(...seen.b) >= 0 && Math.max(...seen.b) <= 0.4);
  assert.equal(state.value("age"), 0);
});

test("one side moves alone; of a face that differs, both sides move by the same", () => {
  const { state } = started();
  state.setSides(["left"]);
  state.set({ face_width: 0.4 });
  assert.equal(JSON.parse(state.text).values.face_width.left, 0.4);
  assert.deepEqual(state.pair("face_width"), [0.4, 0]);
  state.setSides(["right"]);
  assert.equal(state.value("face_width"), 0);
  state.setSides(["left", "right"]);
  assert.equal(state.value("face_width"), 0.2);
  state.set({ face_width: 0.3 });
  assert.deepEqual(state.pair("face_width"), [0.5, 0.1]);
  state.reset(["face_width"]);
  assert.deepEqual(state.pair("face_width"), [0, 0]);
});

test("a face is mirrored, or made even from one side", () => {
  const { state } = started(json({ face_width: { left: 0.4, right: 0.1 } }));
  state.mirror("swap");
  assert.deepEqual(state.pair("face_width"), [0.1, 0.4]);
  state.mirror("right");
  assert.deepEqual(plain(state), { face_width: 0.4 });
  state.undo();
  state.mirror("left");
  assert.deepEqual(plain(state), { face_width: 0.1 });
});

test("plausible is a step to undo, pins and sides are none", () => {
  const { state } = started();
  state.setPlausible(true);
  state.togglePin("face_width");
  state.setSides(["left"]);
  assert.deepEqual(JSON.parse(state.text), {
    version: 1,
    values: {},
    sides: ["left"],
    pinned: ["face_width"],
    plausible: true,
  });
  state.undo();
  assert.deepEqual([state.plausible, state.canUndo, state.isPinned("face_width")], [false, false, true]);
});

test("versions A and B: the first visit copies, later ones switch, undo switches back", () => {
  const { state } = started();
  state.set({ face_width: 0.5 });
  state.showSlot("B");
  assert.deepEqual([state.slot, plain(state)], ["B", { face_width: 0.5 }]);
  state.set({ face_width: -0.5 });
  state.showSlot("A");
  assert.deepEqual(plain(state), { face_width: 0.5 });
  assert.deepEqual(JSON.parse(state.text).other, { slot: "B", values: { face_width: -0.5 } });
  state.showSlot("B");
  assert.deepEqual(plain(state), { face_width: -0.5 });
  state.undo();
  assert.deepEqual([state.slot, plain(state)], ["A", { face_width: 0.5 }]);
});

test("pins and the hidden version come back with the edit", () => {
  const { state } = started();
  state.set({ face_width: 0.5 });
  state.showSlot("B");
  state.set({ jaw_width: 0.5 });
  state.togglePin("jaw_width");
  const again = started(state.text).state;
  assert.ok(again.isPinned("jaw_width"));
  assert.deepEqual([again.slot, plain(again)], ["B", { face_width: 0.5, jaw_width: 0.5 }]);
  again.showSlot("A");
  assert.deepEqual(plain(again), { face_width: 0.5 });
});

test("a listener that left hears nothing", () => {
  const { state } = started();
  let heard = 0;
  const stop = state.on("change", () => heard++);
  state.set({ face_width: 0.1 });
  stop();
  state.set({ face_width: 0.2 });
  assert.equal(heard, 1);
});
