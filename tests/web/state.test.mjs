import assert from "node:assert/strict";
import { test } from "node:test";

import { EditState } from "../../web/editor/state.js";

const CONTROLS = ["face_width", "jaw_width", "nose_width"].map((name) => ({ name, label: name, min: -1, max: 1 }));

function started(text) {
  const state = new EditState(text);
  state.setControls(CONTROLS);
  const events = [];
  state.on("change", () => events.push(["change", state.values]));
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
  assert.deepEqual(events.map(([event]) => event), ["change", "change", "change", "finish"]);
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
  assert.deepEqual([state.values, state.canUndo], [{}, false]);
  state.undo();
  state.redo();
  state.redo();
  assert.deepEqual([state.values, state.canRedo], [{ face_width: 0.1, jaw_width: 0.2 }, false]);
  state.undo();
  state.set({ nose_width: 1 });
  assert.ok(!state.canRedo);
  assert.deepEqual(state.values, { face_width: 0.1, nose_width: 1 });
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
  assert.deepEqual(state.values, { face_width: 0.1 });
});

test("an edit that the host brings back is a step in the history", () => {
  const { state } = started();
  state.set({ face_width: 0.1 });
  state.set({ face_width: 0.2 });
  state.load(json({ face_width: 0.1 })); // the host's own undo
  assert.ok(state.canRedo);
  state.redo();
  assert.deepEqual(state.values, { face_width: 0.2 });
  state.load(json({ nose_width: 0.7 })); // another workflow
  assert.deepEqual([state.canUndo, state.canRedo, state.values], [false, false, { nose_width: 0.7 }]);
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
  assert.deepEqual(state.values, { face_width: 0.5 });
  assert.equal(state.text, json({ face_width: 0.5, jaw_width: 0.25 }));
  state.set({ face_width: 0.75 });
  assert.equal(state.text, json({ face_width: 0.75, jaw_width: 0.25 }));
  state.setControls(CONTROLS);
  assert.deepEqual(state.values, { face_width: 0.75, jaw_width: 0.25 });
});

test("reset, presets and dice leave pinned controls alone", () => {
  const { state } = started();
  state.set({ face_width: 0.5, jaw_width: 0.5 });
  state.togglePin("face_width");
  state.reset();
  assert.deepEqual(state.values, { face_width: 0.5 });
  state.replace({ face_width: -1, nose_width: 0.25 });
  assert.deepEqual(state.values, { face_width: 0.5, nose_width: 0.25 });
  state.randomise(1, () => 0.9);
  assert.deepEqual(state.values, { face_width: 0.5, jaw_width: 0.8, nose_width: 0.8 });
  state.reset(["face_width"]); // by name: the artist's own hand
  assert.equal(state.value("face_width"), 0);
  state.togglePin("face_width");
  state.reset();
  assert.deepEqual(state.values, {});
});

test("dice stay within the limits and within how far they may go", () => {
  const state = new EditState();
  state.setControls([{ name: "a", min: -1, max: 0.5 }, { name: "b", min: 0, max: 1 }]);
  for (let roll = 0; roll < 200; roll++) {
    state.randomise(0.4);
    assert.ok(state.value("a") >= -0.4 && state.value("a") <= 0.2);
    assert.ok(state.value("b") >= 0 && state.value("b") <= 0.4);
  }
});

test("versions A and B: the first visit copies, later ones switch, undo switches back", () => {
  const { state } = started();
  state.set({ face_width: 0.5 });
  state.showSlot("B");
  assert.deepEqual([state.slot, state.values], ["B", { face_width: 0.5 }]);
  state.set({ face_width: -0.5 });
  state.showSlot("A");
  assert.equal(state.text, json({ face_width: 0.5 }));
  state.showSlot("B");
  assert.equal(state.text, json({ face_width: -0.5 }));
  state.undo();
  assert.deepEqual([state.slot, state.values], ["A", { face_width: 0.5 }]);
});

test("pins and the hidden version travel beside the edit, not in it", () => {
  const { state } = started();
  state.set({ face_width: 0.5 });
  state.showSlot("B");
  state.set({ jaw_width: 0.5 });
  state.togglePin("jaw_width");
  const again = started(state.text).state;
  again.aside = JSON.parse(JSON.stringify(state.aside));
  assert.ok(again.pinned.has("jaw_width"));
  assert.ok(!state.text.includes("pinned"));
  again.showSlot("A");
  assert.deepEqual(again.values, { face_width: 0.5 });
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
