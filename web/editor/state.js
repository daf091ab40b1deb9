/**
 * What the artist has set: values with undo and redo, two versions A and B to compare, and pins.
 *
 * `preview` while something moves, `finish` once when it stops: only finished changes are remembered and written
 * to the workflow. Listeners are called with the state. Nothing here touches the page.
 */

import { limited, readEdit, sameValues, writeEdit } from "./edit.js";

const REMEMBERED = 200;

/**
 * @typedef {object} Snapshot
 * @property {Record<string, number>} values
 * @property {"A" | "B"} slot which version is shown
 * @property {Record<string, number> | null} other the values of the version that is not shown
 */

export class EditState {
  /** @param {string} [text] the edit's JSON */
  constructor(text = "{}") {
    /** @type {import("./geometry.js").Control[]} */
    this.controls = [];
    /** @type {Set<string>} names that only the artist's own hand moves */
    this.pinned = new Set();
    /** @type {string[]} */
    this.notes = [];
    this._listeners = { change: new Set(), finish: new Set() };
    this._text = text;
    this._read();
    this._forget();
  }

  /** The edit's JSON, up to the last finished change. */
  get text() {
    return this._text;
  }

  /** @returns {Record<string, number>} a copy; controls at 0 are left out */
  get values() {
    return { ...this._now.values };
  }

  /** @returns {"A" | "B"} */
  get slot() {
    return this._now.slot;
  }

  get canUndo() {
    return this._at > 0;
  }

  get canRedo() {
    return this._at < this._history.length - 1;
  }

  /** @param {string} name */
  value(name) {
    return this._now.values[name] ?? 0;
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
    const { slot, other } = this._now;
    const remembered = this._history;
    this._read();
    this._now = { ...this._now, slot, other };
    if (remembered.length < 2) this._forget();
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
    const near = [this._at - 1, this._at + 1].find((at) => this._history[at] && this._isNow(this._history[at]));
    if (near === undefined) this._forget();
    else this._go(near);
    this._emit("change");
  }

  /**
   * Shows values that are still moving.
   * @param {Record<string, number>} changes
   */
  preview(changes) {
    const values = { ...this._now.values };
    for (const control of this.controls) {
      if (!(control.name in changes)) continue;
      const value = limited(changes[control.name], control);
      if (value === 0) delete values[control.name];
      else values[control.name] = value;
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

  /** @param {Record<string, number>} changes */
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
    if (this.canUndo) this._go(this._at - 1, true);
  }

  redo() {
    if (this.canRedo) this._go(this._at + 1, true);
  }

  /** @param {string[]} [names] all controls if left out; pinned ones stay then */
  reset(names = this._free()) {
    this.set(Object.fromEntries(names.map((name) => [name, 0])));
  }

  /** @param {string} name */
  togglePin(name) {
    if (!this.pinned.delete(name)) this.pinned.add(name);
    this._emit("change");
  }

  /**
   * Replaces the values of all controls that are not pinned.
   * @param {Record<string, number>} values
   */
  replace(values) {
    this.set(Object.fromEntries(this._free().map((name) => [name, values[name] ?? 0])));
  }

  /**
   * Random values for all controls that are not pinned: mostly small ones, none beyond `amount` of the limits.
   * @param {number} amount 0..1
   * @param {() => number} [random] a number in 0..1, as Math.random gives it
   */
  randomise(amount, random = Math.random) {
    const free = new Set(this._free());
    const roll = ({ min, max }) => {
      const t = random() + random() - 1; // -1..1, mostly near 0
      return amount * (t < 0 ? -t * min : t * max);
    };
    this.set(Object.fromEntries(this.controls.filter(({ name }) => free.has(name)).map((c) => [c.name, roll(c)])));
  }

  /** Shows version A or B; the first visit of the other one starts as a copy. @param {"A" | "B"} slot */
  showSlot(slot) {
    if (slot === this.slot) return;
    const { values, other } = this._now;
    this._now = { values: other ?? values, slot, other: values };
    this.finish();
    this._emit("change");
  }

  /** Pins and the version that is not shown, for the workflow but outside the edit: they change no result. */
  get aside() {
    const { slot, other } = this._now;
    return { pinned: [...this.pinned].sort(), slot, other };
  }

  set aside({ pinned = [], slot = "A", other = null }) {
    this.pinned = new Set(pinned);
    this._now = { ...this._now, slot: slot === "B" ? "B" : "A", other };
    this._history[this._at] = this._now;
    this._emit("change");
  }

  _free() {
    return this.controls.map(({ name }) => name).filter((name) => !this.pinned.has(name));
  }

  _read() {
    const edit = readEdit(this._text, this.controls);
    this._edit = edit;
    this.notes = edit.notes;
    this._now = { values: edit.values, slot: this._now?.slot ?? "A", other: this._now?.other ?? null };
  }

  _write() {
    this._text = writeEdit({ ...this._edit, values: this._now.values });
    this.notes = [];
    this._emit("finish");
  }

  _go(at, write = false) {
    this._at = at;
    this._now = this._history[at];
    if (!write) return;
    this._write();
    this._emit("change");
  }

  _forget() {
    this._history = [this._now];
    this._at = 0;
  }

  _isNow({ values, slot }) {
    return slot === this._now.slot && sameValues(values, this._now.values);
  }

  _emit(event) {
    for (const listener of [...this._listeners[event]]) listener(this);
  }
}
