/**
 * The face editor: one element that a page puts somewhere, and the edit's JSON as its value.
 *
 * The page gives it heads (`showHead`) and measured effects (`setEffects`), and is told when the edit changed for
 * good (`onChange`). It knows no host: `web/fantasyid.js` connects it with ComfyUI.
 */

import { ControlPanel } from "./controls.js";
import { make } from "./dom.js";
import { editedVertices, parseHead } from "./geometry.js";
import { Presets } from "./presets.js";
import { loadThree } from "./renderer.js";
import { Stage } from "./stage.js";
import { EditState } from "./state.js";
import { installStyle } from "./style.js";
import { Toolbar } from "./toolbar.js";
import { FaceViewer } from "./viewer.js";
import { t } from "../words/words.js";

export const MIN_WIDTH = 420;
export const MIN_HEIGHT = 560;

export class FaceEditor {
  /**
   * @param {object} options
   * @param {import("./presets.js").Storage} options.storage where presets are kept
   * @param {string} [options.value] the edit's JSON
   * @param {(value: string) => void} [options.onChange] after each finished change
   */
  constructor({ storage, value = "{}", onChange = () => {} }) {
    installStyle();
    this.state = new EditState(value);
    this.stage = new Stage(this.state, (names) => this._markControls(names));
    this.panel = new ControlPanel(this.state, { onPoint: (control) => this.stage.point(control) });
    this.toolbar = new Toolbar(this.state, new Presets(storage), (text) => this.say(text));
    this._status = make("div", { class: "fid-status", role: "status", "data-testid": "fid-status" });
    this._legend = make(
      "div",
      {
        class: "fid-legend",
        hidden: true,
        title: t("The bar under each slider: how much it moves the identity tokens."),
      },
      t("Identity moves by:"),
      make("span", {}, make("i"), t("3D shape")),
      make("span", {}, make("i"), t("warped picture")),
    );
    this._plausible = make("input", {
      type: "checkbox",
      "data-testid": "fid-plausible",
      onchange: () => this.state.setPlausible(this._plausible.checked),
    });
    this._plausibleRow = make(
      "label",
      {
        class: "fid-plausible",
        hidden: true,
        title: t("Keep edits to the shapes that faces of your FLAME model have."),
      },
      this._plausible,
      t("Keep it plausible"),
    );
    const body = make(
      "div",
      { class: "fid-body" },
      this.stage.el,
      make("div", { class: "fid-side" }, this.panel.el, this._plausibleRow, this._legend, this._status),
    );
    const frame = make("div", { class: "fid-frame" }, this.toolbar.el, body);
    this.el = make(
      "div",
      { class: "fantasyid-editor", tabIndex: -1, "data-capture-wheel": "true", "data-testid": "fantasyid-editor" },
      frame,
    );
    this.state.on("change", () => this._update());
    this.state.on("finish", () => {
      this._sayState();
      onChange(this.value);
    });
    this._listen();
    this.stage.setMessage(t("Loading the head\u2026"));
  }

  /** The edit's JSON as it belongs into the workflow. */
  get value() {
    return this.state.text;
  }

  set value(text) {
    this.state.load(text);
    this._sayState();
  }

  /**
   * Shows a head and its controls.
   * @param {ArrayBuffer} buffer what Python packed
   * @param {string} [note] a sentence about it, such as that it is not the artist's own yet
   */
  async showHead(buffer, note = "") {
    this._loading = buffer;
    const three = await loadThree();
    if (this._destroyed || this._loading !== buffer) return; // gone, or a newer head is on its way
    const head = parseHead(buffer);
    if (!this.stage.viewer) {
      this.stage.setViewer(new FaceViewer(three, this.stage.canvas, (error) => this.stage.setMessage(error.message)));
    }
    this.head = head;
    this._note = note;
    this.stage.viewer.setHead(head);
    this.stage.setMessage("");
    this._hasFlame = head.controls.some(({ group }) => group === "FLAME shape");
    this.panel.setControls(head.controls);
    this.panel.setEffects(this._effects ?? {});
    this.state.setControls(head.controls); // draws, too
    this._sayState();
  }

  /** Says why there is no head. @param {string} text */
  showProblem(text) {
    if (this.head) this.say(text);
    else this.stage.setMessage(text);
  }

  /**
   * @param {Record<string, [number, number, string?]>} effects control name -> relative token change by vertices, by
   * warp, and what is to be said about it
   */
  setEffects(effects) {
    this._effects = effects;
    this.panel.setEffects(effects);
    this._legend.hidden = Object.keys(effects).length === 0;
  }

  /** A sentence in the status line, until the next one. @param {string} text */
  say(text) {
    this._status.textContent = text;
    this._status.title = text;
    this._status.hidden = !text;
  }

  /** Ends everything. The element stays where it is: whoever put it there takes it out. */
  destroy() {
    this._destroyed = true;
    cancelAnimationFrame(this._request);
    for (const part of [this.stage, this.panel, this.toolbar]) part.destroy();
  }

  _update() {
    this._plausible.checked = this.state.plausible;
    this._plausibleRow.hidden = !(this._hasFlame || this.state.plausible);
    if (!this.head || this._destroyed) return;
    // Once per frame is enough, and a drag reports more often.
    this._request ??= requestAnimationFrame(() => {
      this._request = undefined;
      if (this._destroyed) return;
      editedVertices(this.head, this.state.values, this.stage.viewer.vertices);
      this.stage.viewer.moved();
    });
  }

  _markControls(names) {
    this.panel.mark(names);
    if (names.length && !this.panel.el.matches(":hover")) this.panel.reveal(names[0]);
  }

  _sayState() {
    this.say([...this.state.notes, this._note].filter(Boolean).join(" "));
  }

  _listen() {
    this.el.addEventListener("keydown", (event) => this._key(event));
    this.el.addEventListener("pointerup", (event) => {
      // The pointer leaves the focus where keys do something, and out of the graph, whose keys would delete the node.
      if (!event.target.closest("input, textarea")) this.stage.el.focus({ preventScroll: true });
    });
  }

  _key(event) {
    const { key, ctrlKey, metaKey, altKey, shiftKey, target } = event;
    const letter = key.toLowerCase();
    if ((ctrlKey || metaKey) && !altKey && (letter === "z" || letter === "y")) {
      const text = target.matches("textarea, input[type=text]"); // has its own undo
      const host = target.matches("button"); // ComfyUI handles the keys there
      if (text || host) return;
      if (letter === "y" || shiftKey) this.state.redo();
      else this.state.undo();
      event.preventDefault();
      event.stopPropagation();
    } else if (key === "Delete" || key === "Backspace") event.stopPropagation(); // or ComfyUI deletes the node
  }
}
