/**
 * The page's own words in the page's language. The English text is the key; `locales/<language>/main.json` holds what
 * it is called elsewhere, under "fantasyid". Nothing here touches the page.
 */

let tables = {};
let language = () => "en";

/**
 * @param {Record<string, Record<string, string>>} found language -> English text -> its translation
 * @param {() => string} asked the page's language, such as "zh-TW", each time a text is needed
 */
export function setWords(found, asked) {
  tables = found;
  language = asked;
}

/**
 * A text for the artist in the page's language, or in English where there is no translation.
 * @param {string} english may name values in braces, as in "Use {name}"
 * @param {Record<string, unknown>} [values]
 */
export function t(english, values = {}) {
  const said = tableOf(language())?.[english] ?? english;
  return said.replace(/\{(\w+)\}/g, (whole, name) => (Object.hasOwn(values, name) ? String(values[name]) : whole));
}

/** Also that of "zh" for "zh-CN". @param {string} name */
function tableOf(name) {
  return tables[name] ?? tables[String(name).split("-")[0]];
}
