import assert from "node:assert/strict";
import { test } from "node:test";

import { Presets, readShared, shareText } from "../../web/editor/presets.js";

const CONTROLS = [{ name: "face_width", label: "Face width", low: -1, high: 1 }];

function memory(text = null) {
  return {
    text,
    read: async function () {
      return this.text;
    },
    write: async function (next) {
      this.text = next;
    },
  };
}

test("presets are kept by name, listed in order, and removed", async () => {
  const storage = memory();
  const presets = new Presets(storage);
  assert.deepEqual(await presets.own(), {});
  await presets.save(" Zoe ", { face_width: [0.5, 0.5] });
  await new Presets(storage).save("Anna", { face_width: [-0.5, 0] });
  assert.deepEqual(Object.entries(await presets.own()), [
    ["Anna", { face_width: { left: -0.5, right: 0 } }],
    ["Zoe", { face_width: 0.5 }],
  ]);
  await presets.save("Anna", {});
  await presets.remove("Zoe");
  assert.deepEqual(await presets.own(), { Anna: {} });
});

test("a preset without a name is refused", async () => {
  await assert.rejects(new Presets(memory()).save("  ", {}), /Give the preset a name/);
});

test("stored presets that cannot be read are not written over", async () => {
  const storage = memory("{oops");
  await assert.rejects(new Presets(storage).save("Anna", {}));
  assert.equal(storage.text, "{oops");
});

test("shared text comes back; whatever holds no values is refused", () => {
  assert.deepEqual(readShared(shareText({ face_width: [0.5, 0] }), CONTROLS), {
    values: { face_width: [0.5, 0] },
    notes: [],
  });
  assert.deepEqual(readShared(shareText({}), CONTROLS).values, {});
  assert.deepEqual(readShared('{"face_width":9}', CONTROLS), {
    values: { face_width: [1, 1] },
    notes: ["Face width was 9, its limit is 1."],
  });
  for (const text of ["", "hello", "[]", "{}", "3"])
    assert.throws(() => readShared(text, CONTROLS), /Expected text such as/, text);
});
