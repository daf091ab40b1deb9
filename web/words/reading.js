/** Reads the translations of this pack's own words from ComfyUI, which collects the folders `locales/` of all packs. */

import { setWords } from "./words.js";

const ADDRESS = "/i18n";

/**
 * Every language at once: the artist may change it while the page is open. Without an answer the page speaks English.
 * @param {(address: string) => Promise<Response>} fetchFile
 * @param {() => string} asked the page's language, each time a text is needed
 */
export async function readWords(fetchFile, asked) {
  try {
    const found = await (await fetchFile(ADDRESS)).json();
    const own = Object.entries(found).map(([language, texts]) => [language, texts.fantasyid ?? {}]);
    setWords(Object.fromEntries(own), asked);
  } catch (error) {
    console.warn("FantasyID: no translations could be read, so the face editor speaks English.", error);
  }
}
