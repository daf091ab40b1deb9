/**
 * Numbers as the artist reads, types and steps them. Nothing here touches the page.
 */

import { t } from "../words/words.js";

const STEP = 0.01;
const LARGE_STEP = 0.1;

/** @param {number} value @returns {string} two decimals, a third one only when it is needed */
export function shown(value) {
  const text = value.toFixed(3);
  return (text.endsWith("0") ? text.slice(0, -1) : text).replace(/^-(0\.0+)$/, "$1");
}

/**
 * What was typed: 0.5, ,5, +0,5 or 50 %.
 * @param {string} text
 * @returns {number | null} null when it is no number
 */
export function typed(text) {
  const match = /^\s*([+\-\u2212]?)(\d*)(?:[.,](\d*))?\s*(%?)\s*$/.exec(text);
  if (!match || !(match[2] || match[3])) return null;
  const [, sign, whole, part, percent] = match;
  const value = Number(`${whole || 0}.${part || 0}`) / (percent ? 100 : 1);
  return sign && sign !== "+" ? -value : value;
}

/**
 * The value after a key press on a slider.
 * @param {{ key: string, shiftKey?: boolean, ctrlKey?: boolean, altKey?: boolean, metaKey?: boolean }} event
 * @param {number} value
 * @param {{ low: number, high: number }} control
 * @returns {number | null} null when the key is none of a slider's
 */
export function stepped({ key, shiftKey, ctrlKey, altKey, metaKey }, value, { low, high }) {
  if (ctrlKey || altKey || metaKey) return null;
  const step = shiftKey ? LARGE_STEP : STEP;
  const next = {
    ArrowRight: value + step,
    ArrowUp: value + step,
    ArrowLeft: value - step,
    ArrowDown: value - step,
    PageUp: value + LARGE_STEP,
    PageDown: value - LARGE_STEP,
    Home: low,
    End: high,
    Delete: 0,
    Backspace: 0,
  }[key];
  return next === undefined ? null : Math.min(high, Math.max(low, Math.round(next * 1000) / 1000));
}

/**
 * How much a control moves the identity tokens, in words.
 * @param {number[]} effect relative token change [by the vertices alone, through the warped picture]
 */
export function effectText([vertices, warp]) {
  const percent = (value) =>
    value === 0
      ? t("not")
      : value < 0.0005
        ? t("by less than 0.1 %")
        : t("by {amount} %", { amount: (100 * value).toFixed(1) });
  const [shape, picture] = [vertices, warp].map(percent);
  return t("Moves the identity {shape} through the 3D shape alone and {picture} through the warped picture.", {
    shape,
    picture,
  });
}
