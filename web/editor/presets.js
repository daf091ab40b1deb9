/**
 * Named sets of values: a few to start from, the artist's own ones, and the JSON by which they are passed on.
 *
 * Where they are kept is up to the page: `storage` reads and writes one string. Nothing here touches the page.
 */

import { VERSION, readEdit, writeEdit, written } from "./edit.js";
import { t } from "../words/words.js";

const EXAMPLE = '{"version":1,"values":{"face_width":0.5}}';

/** To start from: the paper's own examples first. */
export const STARTERS = {
  "Wider face": { face_width: 0.6, jaw_width: 0.4, cheek_fullness: 0.2 },
  "Sharper jaw": { jaw_sharpness: 0.9, cheek_fullness: -0.4, chin_projection: 0.25 },
  "Softer features": { jaw_sharpness: -0.6, cheek_fullness: 0.5, brow_ridge: -0.5, chin_projection: -0.2 },
  "Strong features": { brow_ridge: 0.6, jaw_width: 0.5, chin_width: 0.4, chin_projection: 0.4, nose_bridge: 0.3 },
  Delicate: { eye_size: 0.5, nose_width: -0.5, nose_tip_height: 0.4, chin_width: -0.5, jaw_width: -0.4 },
};

/**
 * @typedef {object} Storage
 * @property {() => Promise<string | null>} read
 * @property {(text: string) => Promise<void>} write
 */

export class Presets {
  /** @param {Storage} storage */
  constructor(storage) {
    this._storage = storage;
  }

  /** @returns {Promise<Record<string, object>>} name -> values as JSON has them: the artist's own, sorted by name */
  async own() {
    const text = await this._storage.read();
    if (!text) return {};
    const content = JSON.parse(text);
    return Object.fromEntries(Object.entries(content.presets ?? {}).sort(([a], [b]) => a.localeCompare(b)));
  }

  /**
   * @param {string} name
   * @param {Record<string, import("./edit.js").Pair>} values
   */
  async save(name, values) {
    if (!name.trim()) throw new Error(t("Give the preset a name."));
    await this._change((own) => ({ ...own, [name.trim()]: written(values) }));
  }

  /** @param {string} name */
  async remove(name) {
    await this._change(({ [name]: _, ...others }) => others);
  }

  async _change(change) {
    // What is stored is read again first: another editor may have saved meanwhile. If it cannot be read, it stays.
    const presets = change(await this.own());
    await this._storage.write(JSON.stringify({ version: VERSION, presets }, null, 1));
  }
}

/**
 * The text by which values are passed on to somebody else: the edit's own JSON.
 * @param {Record<string, import("./edit.js").Pair>} values
 */
export function shareText(values) {
  return writeEdit({ values });
}

/**
 * @param {string} text what `shareText` made, a workflow's edit, or a preset's values
 * @param {import("./geometry.js").Control[]} controls
 * @returns {{ values: Record<string, import("./edit.js").Pair>, notes: string[] }}
 * @throws {Error} with a sentence for the user when it is no edit
 */
export function readShared(text, controls) {
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error(t("This is no face edit. Expected text such as {example}.", { example: EXAMPLE }));
  }
  const { values, unknown, notes } = readEdit(text, controls);
  const marked = content !== null && typeof content === "object" && Object.hasOwn(content, "values");
  if (!marked && !Object.keys({ ...values, ...unknown }).length) {
    throw new Error(t("This text holds no values. Expected text such as {example}.", { example: EXAMPLE }));
  }
  return { values, notes };
}
