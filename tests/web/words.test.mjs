import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { readWords } from "../../web/words/reading.js";
import { setWords, t } from "../../web/words/words.js";

const FOUND = { zh: { "Use {name}": "使用“{name}”", Mirror: "镜像" }, "zh-TW": { Mirror: "鏡像" } };

afterEach(() => setWords({}, () => "en"));

test("a text without a translation is English", () => {
  assert.equal(t("Mirror"), "Mirror");
  setWords(FOUND, () => "fr");
  assert.equal(t("Use {name}", { name: "age" }), "Use age");
});

test("a language of a country has its own words, or those of the language", () => {
  let language = "zh-TW";
  setWords(FOUND, () => language);
  assert.equal(t("Mirror"), "鏡像");
  language = "zh-CN";
  assert.equal(t("Mirror"), "镜像");
});

test("values stand where the translation wants them, whatever they hold", () => {
  setWords(FOUND, () => "zh");
  assert.equal(t("Use {name}", { name: "$& {name}" }), "使用“$& {name}”");
  assert.equal(t("Use {name}"), "使用“{name}”");
});

test("translations come from the host's list of all packs", async () => {
  const answer = { zh: { fantasyid: FOUND.zh, nodeDefs: {} }, ru: { nodeDefs: {} } };
  const asked = [];
  await readWords(
    async (address) => (asked.push(address), new Response(JSON.stringify(answer))),
    () => "zh",
  );
  assert.deepEqual(asked, ["/i18n"]);
  assert.equal(t("Mirror"), "镜像");
});

test("without an answer the page speaks English", async (context) => {
  const warned = context.mock.method(console, "warn", () => {});
  await readWords(
    async () => new Response("<html>404</html>"),
    () => "zh",
  );
  assert.equal(warned.mock.callCount(), 1);
  assert.equal(t("Mirror"), "Mirror");
});
