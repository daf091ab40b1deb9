/**
 * Room for the messages that runs show on nodes. Litegraph gives the host's text widget two lines, and the host stops
 * every text at 200 pixels; here the widget asks for as much as its text needs.
 */

import { heightOf } from "./height.js";

const WIDGET = "$$node-text-preview"; // the host's name for it
const BESIDE = 56; // pixels of a node's width that a line of its text does not have
const STYLE = `.fantasyid-message [class*="max-h-"], .fantasyid-message[class*="max-h-"] { max-height: none !important; }`;
let pen;

function widthOf(text) {
  pen ??= Object.assign(document.createElement("canvas").getContext("2d"), { font: "12px Inter, system-ui, sans-serif" });
  return pen.measureText(text).width * 1.06; // a little more: the page's font may be another
}

/** Gives the node's message its room. False: the host has not made the widget yet. */
export function makeRoom(node, text) {
  const widget = node.widgets?.find(({ name }) => name === WIDGET);
  if (!widget) return false;
  widget.options.getMinHeight = () => heightOf(text, node.size[0] - BESIDE, widthOf);
  const [width, height] = node.computeSize();
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  node.graph?.setDirtyCanvas(true, true);
  unbound(text);
  return true;
}

/** Takes the host's limit from the element that shows the text. */
function unbound(text) {
  if (!document.getElementById("fantasyid-message-style")) {
    const style = document.createElement("style");
    style.id = "fantasyid-message-style";
    style.textContent = STYLE;
    document.head.append(style);
  }
  const shown = text.replace(/\s+/g, "");
  for (const each of document.querySelectorAll('[class*="max-h-[200px]"]')) {
    const same = each.textContent.replace(/\s+/g, "") === shown;
    each.classList.toggle("fantasyid-message", same || each.classList.contains("fantasyid-message"));
  }
}
