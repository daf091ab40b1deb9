/**
 * What the artist has set: values with undo and redo, two versions A and B to compare, sides and pins.
 *
 * `preview` while something moves, `finish` once when it stops: only finished changes are remembered and written
 * to the workflow. Listeners are called with the state. Nothing here touches the page.
 */

import { SIDES, readEdit, rounded, sameValues, writeEdit } from "./edit.js";

const REMEMBERED = 200;
const WHOLE = ["Whole face", "FLAME shape"]; // groups of controls that move the same places as the others

/** @typedef {import("./edit.js").Pair} Pair */

/**
 * @typedef {object} Snapshot
 * @property {Record<string, Pair>} values
 * @property {"A" | "B"} slot which version is shown
 * @property {Record<string, Pair> | null} other the values of the version that is not shown
 * @property {boolean} plausible
 */

export class EditState {
  /** @param {string} [text] the edit's JSON */
  constructor(text = "{}") {
    /** @type {import("./geometry.js").Control[]} */
    this.controls = [];
    this._listeners = { change: new Set(), finish: new Set() };
    this._text = text;
    this._read();
    this._forget();
  }

  /** The edit's JSON, up to the last finished change. */
  get text() {
    return this._text;
  }

  /** @returns {Record<string, Pair>} a copy; controls at 0 are left out */
  get values() {
    return { ...this._now.values };
  }

  /** @returns {"A" | "B"} */
  get slot() {
    return this._now.slot;
  }

  /** Whether the edit keeps to the shapes of the user's FLAME model. */
  get plausible() {
    return this._now.plausible;
  }

  /** @returns {string[]} the sides of the face that sliders move */
  get sides() {
    return this._edit.sides;
  }

  /** @returns {string[]} sentences about what was not as expected in the edit that was read */
  get notes() {
    return this._edit.notes;
  }

  get canUndo() {
    return this._at > 0;
  }

  get canRedo() {
    return this._at < this._history.length - 1;
  }

  /** @param {string} name @returns {Pair} */
  pair(name) {
    return this._now.values[name] ?? [0, 0];
  }

  /** What the slider shows: the value of the chosen side, or the mean of both. @param {string} name */
  value(name) {
    const [left, right] = this.pair(name);
    if (this.sides.length === 2) return left === right ? left : (left + right) / 2;
    return this.sides[0] === SIDES[0] ? left : right;
  }

  /** @param {string} name */
  isPinned(name) {
    return this._edit.pinned.includes(name);
  }

  /** Whether dice and dragging may move a control. @param {import("./geometry.js").Control} control */
  isLoose({ name, group }) {
    return !this.isPinned(name) && !WHOLE.includes(group);
  }

  /**
   * @param {"change" | "finish"} event
   * @param {(state: EditState) => void} listener
   * @returns {() => void} stops listening
   */
  on(event, listener) {
    this._listeners[event].add(listener);
    return () => this._listeners[event].delete(listener);
  }

  /** Takes the controls of another head; values of controls that it lacks are kept aside. */
  setControls(controls) {
    this.controls = controls;
    this._read();
    if (this._history.length === 1) this._forget();
    this._emit("change");
  }

  /**
   * Takes the edit of the workflow. If it is the one before or after in the history (the host's own undo and redo
   * come this way), the history moves there, otherwise it starts anew.
   * @param {string} text
   */
  load(text) {
    if (text === this._text) return;
    this._text = text;
    this._read();
    const near = [this._at, this._at - 1, this._at + 1].find(
      (at) => this._history[at] && this._isNow(this._history[at]),
    );
    if (near === undefined) this._forget();
    else this._at = near;
    this._emit("change");
  }

  /**
   * Shows values that are still moving.
   * @param {Record<string, number | Pair>} changes a number is for the chosen sides; if these differ, both move alike
   */
  preview(changes) {
    const values = { ...this._now.values };
    for (const control of this.controls) {
      const { name } = control;
      if (!(name in changes)) continue;
      const pair = this._changed(name, changes[name]).map((value) => rounded(value, control));
      if (pair.some((value) => value !== 0)) values[name] = pair;
      else delete values[name];
    }
    if (sameValues(values, this._now.values)) return;
    this._now = { ...this._now, values };
    this._emit("change");
  }

  /** Remembers what is shown and writes it to the workflow; does nothing if nothing changed. */
  finish() {
    if (this._isNow(this._history[this._at])) return;
    this._history = [...this._history.slice(0, this._at + 1), this._now].slice(-REMEMBERED);
    this._at = this._history.length - 1;
    this._write();
  }

  /** @param {Record<string, number | Pair>} changes */
  set(changes) {
    this.preview(changes);
    this.finish();
  }

  /** Gives up what is still moving. */
  cancel() {
    this._now = this._history[this._at];
    this._emit("change");
  }

  undo() {
    if (this.canUndo) this._go(this._at - 1);
  }

  redo() {
    if (this.canRedo) this._go(this._at + 1);
  }

  /** Sets the chosen sides back. @param {string[]} [names] if left out, all controls but the pinned ones, both sides */
  reset(names) {
    if (names) this.set(Object.fromEntries(names.map((name) => [name, this.sides.length === 2 ? [0, 0] : 0])));
    else this.replace({});
  }

  /** Replaces the values of all controls that are not pinned. @param {Record<string, Pair>} values */
  replace(values) {
    const free = this.controls.filter(({ name }) => !this.isPinned(name));
    this.set(Object.fromEntries(free.map(({ name }) => [name, values[name] ?? [0, 0]])));
  }

  /**
   * Random values, evenly spread, for all controls that are not pinned and move a place of their own.
   * @param {number} amount 0..1 of each control's limits
   * @param {() => number} [random] a number in 0..1, as Math.random gives it
   */
  randomise(amount, random = Math.random) {
    const loose = this.controls.filter((control) => this.isLoose(control));
    this.set(
      Object.fromEntries(
        loose.map(({ name, low, high }) => {
          const value = amount * (low + (high - low) * random());
          return [name, [value, value]];
        }),
      ),
    );
  }

  /** Exchanges left and right, or gives both sides the values of one. @param {"swap" | "left" | "right"} how */
  mirror(how) {
    const mirrored = ([left, right]) => ({ swap: [right, left], left: [left, left], right: [right, right] })[how];
    this.set(Object.fromEntries(Object.entries(this._now.values).map(([name, pair]) => [name, mirrored(pair)])));
  }

  /** Shows version A or B; the first visit of the other one starts as a copy. @param {"A" | "B"} slot */
  showSlot(slot) {
    if (slot === this.slot) return;
    const { values, other } = this._now;
    this._now = { ...this._now, values: other ?? values, slot, other: values };
    this.finish();
    this._emit("change");
  }

  /** @param {boolean} plausible */
  setPlausible(plausible) {
    this._now = { ...this._now, plausible };
    this.finish();
    this._emit("change");
  }

  /** @param {string[]} sides */
  setSides(sides) {
    this._note({ sides });
  }

  /** @param {string} name */
  togglePin(name) {
    const { pinned } = this._edit;
    this._note({ pinned: this.isPinned(name) ? pinned.filter((each) => each !== name) : [...pinned, name] });
  }

  _changed(name, change) {
    if (Array.isArray(change)) return change;
    const pair = this.pair(name);
    const by = change - this.value(name);
    return pair.map((value, side) => {
      if (!this.sides.includes(SIDES[side])) return value;
      return pair[0] === pair[1] ? change : value + by;
    });
  }

  /** Changes what is no value: it is written, and no step to undo. */
  _note(change) {
    this._edit = { ...this._edit, ...change };
    this._write();
    this._emit("change");
  }

  _read() {
    const edit = readEdit(this._text, this.controls);
    this._edit = edit;
    this._now = {
      values: edit.values,
      slot: edit.other ? (edit.other.slot === "A" ? "B" : "A") : "A",
      other: edit.other?.values ?? null,
      plausible: edit.plausible,
    };
  }

  _write() {
    const { values, slot, other, plausible } = this._history[this._at];
    const hidden = other && { slot: slot === "A" ? "B" : "A", values: other };
    this._edit = { ...this._edit, notes: [] };
    this._text = writeEdit({ ...this._edit, values, plausible, other: hidden });
    this._emit("finish");
  }

  _go(at) {
    this._at = at;
    this._now = this._history[at];
    this._write();
    this._emit("change");
  }

  _forget() {
    this._history = [this._now];
    this._at = 0;
  }

  _isNow({ values, slot, plausible }) {
    return slot === this._now.slot && plausible === this._now.plausible && sameValues(values, this._now.values);
  }

  _emit(event) {
    for (const listener of [...this._listeners[event]]) listener(this);
  }
}
