/**
 * The edit as it is stored in the workflow: one JSON string that a person can read, such as
 * {"version":1,"values":{"face_width":0.5}}. Names are sorted, zeros left out, and whatever this version does not
 * know is kept as it was. Nothing here touches the page.
 */

export const VERSION = 1;
const DECIMALS = 1000; // values are kept to a thousandth: finer than a slider or a hand can be

/**
 * @typedef {object} Edit
 * @property {Record<string, number>} values control name -> value, within the control's limits and not 0
 * @property {Record<string, unknown>} unknown values of controls that this head does not have
 * @property {Record<string, unknown>} rest further entries beside version and values
 * @property {string[]} notes sentences for the user about what was not as expected
 */

/**
 * @param {number} value
 * @param {{ min: number, max: number }} control
 * @returns {number} rounded and within the limits
 */
export function limited(value, control) {
  return Math.round(Math.min(control.max, Math.max(control.min, value)) * DECIMALS) / DECIMALS || 0; // never -0
}

/**
 * Reads an edit; never throws, since a workflow has to open whatever it holds.
 * @param {string} text
 * @param {import("./geometry.js").Control[]} controls
 * @returns {Edit}
 */
export function readEdit(text, controls) {
  const { content, notes } = parsed(text);
  const { version, values: given, ...rest } = content;
  if (version > VERSION) notes.push(`The edit has version ${version}, this editor knows ${VERSION}: update FantasyID.`);
  const edit = { values: {}, unknown: {}, rest, notes };
  const known = new Map(controls.map((control) => [control.name, control]));
  for (const [name, value] of Object.entries(given)) {
    const control = known.get(name);
    if (!control) edit.unknown[name] = value;
    else readValue(edit, control, value);
  }
  const strangers = Object.keys(edit.unknown);
  if (strangers.length && controls.length) {
    notes.push(`This head has no ${strangers.join(", ")}: kept in the workflow, without effect.`);
  }
  return edit;
}

function parsed(text) {
  const notes = [];
  let content = {};
  try {
    content = JSON.parse(text || "{}");
  } catch {
    notes.push("The edit in the workflow is not readable JSON. It stays as it is until you change something.");
  }
  if (content === null || typeof content !== "object" || Array.isArray(content)) {
    notes.push("The edit in the workflow is not a set of values. It stays as it is until you change something.");
    content = {};
  }
  if (!("version" in content) && !("values" in content)) content = { values: content }; // before version 1: bare values
  const { values } = content;
  if (values === null || typeof values !== "object" || Array.isArray(values)) content = { ...content, values: {} };
  return { content, notes };
}

function readValue(edit, control, value) {
  if (typeof value !== "number" || !Number.isFinite(value)) {
    edit.notes.push(`${control.label} was no number and is 0 now.`);
    return;
  }
  const within = limited(value, control);
  if (value < control.min || value > control.max) {
    edit.notes.push(`${control.label} was ${value}, its limit is ${within}.`);
  }
  if (within !== 0) edit.values[control.name] = within;
}

/**
 * The JSON of an edit.
 * @param {Pick<Edit, "values"> & Partial<Edit>} edit
 * @returns {string}
 */
export function writeEdit({ values, unknown = {}, rest = {} }) {
  const all = { ...unknown, ...values };
  const kept = Object.keys(all).sort().filter((name) => all[name] !== 0);
  return JSON.stringify({ version: VERSION, values: Object.fromEntries(kept.map((name) => [name, all[name]])), ...rest });
}

/**
 * Whether two sets of values are the same edit.
 * @param {Record<string, number>} a
 * @param {Record<string, number>} b
 */
export function sameValues(a, b) {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((name) => (a[name] ?? 0) === (b[name] ?? 0));
}
