import assert from "node:assert/strict";
import { test } from "node:test";

import { limited, readEdit, resultOf, rounded, sameValues, writeEdit, written } from "../../web/editor/edit.js";

const CONTROLS = [
  { name: "face_width", label: "Face width", low: -1, high: 1 },
  { name: "jaw_width", label: "Jaw width", low: 0, high: 0.5 },
];

test("an edit comes back as it was, sorted and without zeros", () => {
  const text = writeEdit({ values: { jaw_width: [0.25, 0.25], face_width: [-0.5, -0.5], chin: [0, 0] } });
  assert.equal(text, '{"version":1,"values":{"face_width":-0.5,"jaw_width":0.25}}');
  const edit = readEdit(text, CONTROLS);
  assert.deepEqual(edit.values, { face_width: [-0.5, -0.5], jaw_width: [0.25, 0.25] });
  assert.deepEqual(edit.notes, []);
  assert.equal(writeEdit(edit), text);
});

test("an empty edit is no edit", () => {
  for (const text of ["", "{}", '{"version":1,"values":{}}', '{"version":1}']) {
    assert.deepEqual(readEdit(text, CONTROLS).values, {});
    assert.deepEqual(readEdit(text, CONTROLS).notes, []);
  }
});

test("unknown controls and entries are kept and the controls named", () => {
  const text = '{"version":1,"values":{"face_width":0.5,"third_eye":1,"tail":"long"},"author":"me"}';
  const edit = readEdit(text, CONTROLS);
  assert.match(edit.notes[0], /no third_eye, tail: kept in the workflow, without effect/);
  assert.deepEqual(JSON.parse(writeEdit(edit)), JSON.parse(text));
});

test("without a head no control is called unknown", () => {
  assert.deepEqual(readEdit('{"version":1,"values":{"face_width":0.5}}', []).notes, []);
});

test("values beyond the limits are clamped, what is no number is 0; both are named", () => {
  const edit = readEdit('{"version":1,"values":{"face_width":7,"jaw_width":null}}', CONTROLS);
  assert.deepEqual(edit.values, { face_width: [1, 1] });
  assert.deepEqual(edit.notes, ["Face width was 7, its limit is 1.", "Jaw width was no number and is 0 now."]);
  assert.deepEqual(readEdit('{"version":1,"values":{"face_width":1e999}}', CONTROLS).values, { face_width: [1, 1] }); // infinite
});

test("bare values of the time before versions are taken over", () => {
  assert.equal(writeEdit(readEdit('{"face_width":0.5}', CONTROLS)), '{"version":1,"values":{"face_width":0.5}}');
});

test("an edit of a newer version is used as far as it is known, and said to be newer", () => {
  const edit = readEdit('{"version":3,"values":{"face_width":0.5}}', CONTROLS);
  assert.deepEqual(edit.values, { face_width: [0.5, 0.5] });
  assert.match(edit.notes[0], /version 3, this editor knows 1: update the FantasyID/);
});

test("what is no JSON, or no set of values, opens as no edit with a note", () => {
  for (const text of ["{oops", "[1]", "null", "7", '"text"']) {
    const edit = readEdit(text, CONTROLS);
    assert.deepEqual(edit.values, {});
    assert.match(edit.notes[0], /stays as it is until you change something/, text);
  }
  assert.deepEqual(readEdit('{"version":1,"values":[1]}', CONTROLS).values, {});
});

test("one-sided values, sides, pins, plausible and the other version come back", () => {
  const text =
    '{"version":1,"values":{"face_width":{"left":0.3,"right":0}},"sides":["left"],"pinned":["face_width"],' +
    '"plausible":true,"other":{"slot":"B","values":{"jaw_width":0.25}}}';
  const edit = readEdit(text, CONTROLS);
  assert.deepEqual(edit.values, { face_width: [0.3, 0] });
  assert.deepEqual(edit.other, { slot: "B", values: { jaw_width: [0.25, 0.25] } });
  assert.equal(writeEdit(edit), text);
  assert.deepEqual(readEdit('{"values":{"face_width":[0.3,0]}}', CONTROLS).values, { face_width: [0.3, 0] });
  assert.deepEqual(readEdit('{"values":{"face_width":{"right":0.3}}}', CONTROLS).values, { face_width: [0, 0.3] });
});

test("sides, pins and the like that make no sense are taken as not given", () => {
  const edit = readEdit('{"version":1,"values":{},"sides":["top"],"pinned":7,"plausible":"yes","other":[]}', CONTROLS);
  assert.deepEqual([edit.sides, edit.pinned, edit.plausible, edit.other], [["left", "right"], [], false, null]);
});

test("the host is given what changes the result, and nothing else", () => {
  const text =
    '{"version":1,"values":{"face_width":0.5},"sides":["left"],"pinned":["a"],"other":{"slot":"B","values":{}},"plausible":true}';
  assert.equal(resultOf(text), '{"version":1,"values":{"face_width":0.5},"plausible":true}');
  assert.equal(resultOf('{"face_width":0.5}'), '{"version":1,"values":{"face_width":0.5}}');
  for (const wrong of ["{oops", "[1]", '{"version":2,"values":{}}']) assert.equal(resultOf(wrong), wrong); // Python says so
});

test("values are limited, rounded to thousandths by hand, and never minus zero", () => {
  assert.equal(limited(0.123456, CONTROLS[0]), 0.123456);
  assert.equal(rounded(0.123456, CONTROLS[0]), 0.123);
  assert.equal(limited(-3, CONTROLS[1]), 0);
  assert.ok(Object.is(rounded(-0.0001, CONTROLS[0]), 0));
});

test("a missing value equals 0", () => {
  assert.ok(sameValues({ a: [0, 0], b: [1, 0] }, { b: [1, 0] }));
  assert.ok(!sameValues({ a: [0, 0.001] }, {}));
  assert.deepEqual(written({ a: [0, 0], b: [1, 0], c: [1, 1] }), { b: { left: 1, right: 0 }, c: 1 });
});
