/**
 * Heads that were fetched, so that undo, another tab, or a second editor shows them at once.
 */

import { t } from "../words/words.js";

const KEPT = 6; // of about half a megabyte

export class RecentFiles {
  /** @param {(address: string) => Promise<Response>} fetchFile */
  constructor(fetchFile) {
    this._fetch = fetchFile;
    this._kept = new Map(); // the oldest one first
  }

  /**
   * @param {string} address
   * @returns {Promise<ArrayBuffer>}
   * @throws {Error} with the server's `status` when it refuses
   */
  get(address) {
    const found = this._kept.get(address) ?? this._load(address);
    this._kept.delete(address);
    this._kept.set(address, found);
    if (this._kept.size > KEPT) this._kept.delete(this._kept.keys().next().value);
    return found;
  }

  async _load(address) {
    try {
      const response = await this._fetch(address);
      if (!response.ok) {
        throw Object.assign(new Error(t("the server answered {status}.", { status: response.status })), {
          status: response.status,
        });
      }
      return await response.arrayBuffer();
    } catch (error) {
      this._kept.delete(address); // the next one may ask again
      throw error;
    }
  }
}

/** The text of an answer, or null where there is no such file. @param {Response} response */
export async function readText(response) {
  if (response.status === 404) return null;
  if (!response.ok)
    throw new Error(t("Your presets could not be read: the server answered {status}.", { status: response.status }));
  return response.text();
}
