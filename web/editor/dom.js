/** Elements with less writing. */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} [properties] `class`, `title`, `data-...` and `aria-...` become attributes, `on...`
 * listeners, everything else properties
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (/^(class$|role$|title$|data-|aria-)/.test(name)) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

const PATHS = {
  undo: "M6 3 2.5 6.5 6 10M2.5 6.5H9a4 4 0 0 1 0 8H6",
  redo: "M10 3l3.5 3.5L10 10M13.5 6.5H7a4 4 0 0 0 0 8h3",
  dice: "M3 2.5h10a.5.5 0 0 1 .5.5v10a.5.5 0 0 1-.5.5H3a.5.5 0 0 1-.5-.5V3a.5.5 0 0 1 .5-.5ZM5.5 5.5h.01M10.5 5.5h.01M8 8h.01M5.5 10.5h.01M10.5 10.5h.01",
  reset: "M3 8a5 5 0 1 0 1.6-3.7M2.5 2.5v3h3",
  presets: "M4.5 2.5h7v11L8 10.8 4.5 13.5Z",
  mirror: "M8 2v2M8 6v2M8 10v2M8 13.5v.5M6 4 2 12h4ZM10 4l4 8h-4Z",
  pin: "M6 2.5h4l-.6 4 2.1 2.3h-7l2.1-2.3ZM8 9v4.5",
  lines: "M2.5 5.5 8 2.5l5.5 3v5l-5.5 3-5.5-3ZM2.5 5.5 8 8.5l5.5-3M8 8.5v5",
  ghost: "M3.5 13.5V7.5a4.5 4.5 0 0 1 9 0v6l-1.5-1.3-1.5 1.3L8 12.2l-1.5 1.3L5 12.2ZM6.4 7h.01M9.6 7h.01",
  wipe: "M8 2v12M2.5 4.5h5.5v7H2.5ZM10.5 4.5h3v7h-3",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8ZM8 6.2a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h8v8h-8ZM10.5 5.5v-3h-8v8h3",
  save: "M8 2.5v7.5M4.8 7 8 10.2 11.2 7M2.5 12.5h11",
  load: "M8 10.2V2.7M4.8 5.9 8 2.7l3.2 3.2M2.5 12.5h11",
};

/** A line drawing of 16 x 16 in the colour of the text. @param {keyof typeof PATHS} name */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
