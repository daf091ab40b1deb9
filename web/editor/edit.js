/**
 * The edit as it is stored in the workflow: one JSON string that a person can read. Python reads the same
 * (fantasyid_core/shape/editstate.py):
 *
 *     {"version":1,"values":{"face_width":0.5,"ear_size":{"left":0.3,"right":0}},
 *      "sides":["left"],"pinned":["face_width"],"plausible":true,"other":{"slot":"B","values":{}}}
 *
 * Names are sorted, zeros and defaults left out, and whatever this version does not know is kept as it was.
 * Nothing here touches the page.
 */

import { t } from "../words/words.js";

export const VERSION = 1;
export const SIDES = ["left", "right"]; // of the picture
const UNREADABLE = "The edit in the workflow is not readable as JSON. It stays as it is until you change something.";
const NO_VALUES = "The edit in the workflow is no set of values. It stays as it is until you change something.";
const STEPS = 1000; // a hand moves values by thousandths: finer than any slider

/**
 * Values of a control: what it is on the left and on the right side of the face.
 * @typedef {[number, number]} Pair
 */

/**
 * @typedef {object} Edit
 * @property {Record<string, Pair>} values within the controls' limits; controls at 0 are left out
 * @property {string[]} sides which sides the sliders move
 * @property {string[]} pinned controls that presets, dice and dragging leave alone
 * @property {boolean} plausible keep to the shapes of the user's FLAME model
 * @property {{ slot: "A" | "B", values: Record<string, Pair> } | null} other the version that is not shown
 * @property {Record<string, unknown>} unknown values of controls that this head does not have
 * @property {Record<string, unknown>} rest further entries
 * @property {string[]} notes sentences for the user about what was not as expected
 */

/** @param {number} value @param {{ low: number, high: number }} control */
export function limited(value, { low, high }) {
  return Math.min(high, Math.max(low, value)) || 0; // never -0
}

/** As `limited`, in thousandths. @param {number} value @param {{ low: number, high: number }} control */
export function rounded(value, control) {
  return limited(Math.round(value * STEPS) / STEPS, control);
}

/**
 * Reads an edit; never throws, since a workflow has to open whatever it holds.
 * @param {string} text
 * @param {import("./geometry.js").Control[]} controls
 * @returns {Edit}
 */
export function readEdit(text, controls) {
  const { content, notes } = parsed(text);
  const { version, values: given = {}, sides, pinned, plausible, other, ...rest } = content;
  if (version > VERSION) {
    const known = VERSION;
    notes.push(
      t("The edit is of version {version}, this editor knows {known}: update the FantasyID nodes.", { version, known }),
    );
  }
  const { values, unknown } = readValues(given, controls, notes);
  const strangers = Object.keys(unknown);
  if (strangers.length && controls.length) {
    notes.push(t("This head has no {names}: kept in the workflow, without effect.", { names: strangers.join(", ") }));
  }
  const chosen = strings(sides).filter((side) => SIDES.includes(side));
  return {
    values,
    sides: chosen.length ? chosen : SIDES,
    pinned: strings(pinned),
    plausible: plausible === true,
    other: isRecord(other)
      ? { slot: other.slot === "A" ? "A" : "B", values: readValues(other.values, controls, []).values }
      : null,
    unknown,
    rest,
    notes,
  };
}

function parsed(text) {
  const unusable = (what) => ({
    content: {},
    notes: [t(what)],
  });
  let content;
  try {
    content = JSON.parse(text.trim() || "{}");
  } catch {
    return unusable(UNREADABLE);
  }
  if (!isRecord(content)) return unusable(NO_VALUES);
  const bare = !("version" in content) && !isRecord(content.values); // before version 1: the values alone
  return { content: bare ? { values: content } : content, notes: [] };
}

function readValues(given, controls, notes) {
  const known = new Map(controls.map((control) => [control.name, control]));
  const values = {},
    unknown = {};
  for (const [name, value] of Object.entries(isRecord(given) ? given : {})) {
    const control = known.get(name);
    if (!control) {
      unknown[name] = value;
      continue;
    }
    const pair = asPair(value).map((part, side) => readNumber(part, control, side, notes));
    if (pair.some((part) => part !== 0)) values[name] = pair;
  }
  return { values, unknown };
}

/** @param {unknown} value a number, {"left": number, "right": number}, or [left, right] */
function asPair(value) {
  if (isRecord(value)) return SIDES.map((side) => value[side] ?? 0);
  return Array.isArray(value) && value.length === 2 ? value : [value, value];
}

function readNumber(value, control, side, notes) {
  const label = t(control.label ?? "");
  const say = (note) => notes.includes(note) || notes.push(note);
  if (typeof value !== "number" || Number.isNaN(value)) {
    say(t("{control} was no number and is 0 now.", { control: label }));
    return 0;
  }
  const within = limited(value, control);
  if (within !== value && value !== 0)
    say(t("{control} was {value}, its limit is {limit}.", { control: label, value, limit: within }));
  return within;
}

/**
 * The JSON of an edit.
 * @param {Partial<Edit>} edit
 * @returns {string}
 */
export function writeEdit({
  values = {},
  unknown = {},
  sides = SIDES,
  pinned = [],
  plausible = false,
  other = null,
  rest = {},
}) {
  return JSON.stringify({
    version: VERSION,
    values: sorted({ ...unknown, ...written(values) }),
    ...(sides.length === SIDES.length ? {} : { sides }),
    ...(pinned.length ? { pinned: [...pinned].sort() } : {}),
    ...(plausible ? { plausible } : {}),
    ...(other ? { other: { slot: other.slot, values: sorted(written(other.values)) } } : {}),
    ...rest,
  });
}

/**
 * Only what changes the result, for the host: moving a pin must not make a video anew.
 * @param {string} text an edit's JSON
 */
export function resultOf(text) {
  const { content, notes } = parsed(text);
  if (notes.length || content.version > VERSION) return text; // Python says what is wrong with it
  const { sides, pinned, other, ...kept } = content;
  return JSON.stringify({ version: VERSION, ...kept });
}

/** @param {Record<string, Pair>} values @returns {Record<string, unknown>} as they are written in JSON */
export function written(values) {
  return Object.fromEntries(
    Object.entries(values)
      .filter(([, pair]) => pair.some((part) => part !== 0))
      .map(([name, [left, right]]) => [name, left === right ? left : { left, right }]),
  );
}

/**
 * Whether two sets of values are the same.
 * @param {Record<string, Pair>} a
 * @param {Record<string, Pair>} b
 */
export function sameValues(a, b) {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].every((name) => [0, 1].every((side) => (a[name]?.[side] ?? 0) === (b[name]?.[side] ?? 0)));
}

function sorted(record) {
  return Object.fromEntries(
    Object.keys(record)
      .sort()
      .map((name) => [name, record[name]]),
  );
}

function strings(found) {
  return Array.isArray(found) ? [...new Set(found.filter((each) => typeof each === "string"))] : [];
}

function isRecord(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
