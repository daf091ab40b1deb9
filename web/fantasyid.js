/**
 * FantasyID in ComfyUI's page, in both of its renderers: the face editor as a widget of the node Edit Shape, the circle
 * of people as one of Blend Shapes, before and after as a wipe on Warp Face and Reshape Video, and room for the messages on nodes.
 *
 * The only file of this folder that does something when it is imported; `editor/`, `blend/` and `wipe/` know nothing of ComfyUI.
 */

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { CirclePad, HEIGHT } from "./blend/pad.js";
import { resultOf } from "./editor/edit.js";
import { FaceEditor, MIN_HEIGHT, MIN_WIDTH } from "./editor/editor.js";
import { readText, RecentFiles } from "./editor/files.js";
import { makeRoom } from "./message/room.js";
import { HEIGHT as WIPE_HEIGHT, Wipe } from "./wipe/wipe.js";
import { readWords } from "./words/reading.js";
import { t } from "./words/words.js";

const TYPE = "FANTASYID_FACE_EDITOR";
const CIRCLE = "FANTASYID_CIRCLE";
const TEMPLATE = "/fantasyid/editor/template";
const WIPED = ["FantasyID_WarpFace", "FantasyID_ReshapeVideo"];
const PRESETS = "fantasyid_presets.json"; // in ComfyUI's folder of the user
const TEMPLATE_NOTE = "This is not your person yet: run the workflow once to see yours. Edits are kept.";
const GONE_NOTE = "The head of the last run is gone: run the workflow once more to see it. Edits are kept.";
const PLAUSIBLE_NOTE = "Run the workflow to see what this setting does.";

const files = new RecentFiles((address) => api.fetchApi(address));
const widgets = new Set();

const storage = {
  read: async () => readText(await api.getUserData(PRESETS)),
  write: (text) =>
    api.storeUserData(PRESETS, text, { stringify: false, overwrite: true, throwOnError: true, full_info: false }),
};

/** One node's editor, and what the node's runs tell it. */
class FaceEditorWidget {
  constructor(node, name) {
    this.node = node;
    this.editor = new FaceEditor({ storage, onChange: () => this._changed() });
    this.widget = node.addDOMWidget(name, TYPE, this.editor.el, {
      getValue: () => this.editor.value,
      setValue: (value) => (this.editor.value = String(value ?? "{}")),
      getMinHeight: () => MIN_HEIGHT,
      hideOnZoom: false,
      socketless: true,
    });
    this.widget.serializeValue = () => resultOf(this.editor.value); // the prompt: pins and the like change no result
    chain(node, "onExecuted", (output) => this.take(output));
    chain(node, "onAdded", () => remount(node, this.editor.el, () => this._destroyed));
    chain(node, "onRemoved", () => this.destroy());
    widgets.add(this);
    afterFrames(2, () => this._heads ?? this._showTemplate(t(TEMPLATE_NOTE)));
  }

  /** Shows what a run of the node sent. @param {object} [output] */
  take(output) {
    if (this._destroyed || !output?.fantasyid_editor?.length) return;
    this._heads = output.fantasyid_editor;
    this._showHead();
    const [effects] = output.fantasyid_effect ?? [];
    this.editor.setEffects(effects ?? {});
  }

  destroy() {
    this._destroyed = true;
    widgets.delete(this);
    this.editor.destroy();
  }

  async _showHead() {
    const { plausible } = this.editor.state;
    const head = this._heads.find((each) => Boolean(each.plausible) === plausible) ?? this._heads[0];
    if (head === this._shown) return;
    this._shown = head;
    try {
      const { filename, subfolder = "", type = "temp" } = head;
      const buffer = await files.get(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
      if (this._shown === head)
        await this.editor.showHead(buffer, Boolean(head.plausible) === plausible ? "" : t(PLAUSIBLE_NOTE));
    } catch (error) {
      if (error.status === 404) await this._showTemplate(t(GONE_NOTE), true);
      else this.editor.showProblem(error.message);
    }
  }

  async _showTemplate(note, gone = false) {
    try {
      const buffer = await files.get(TEMPLATE);
      if (!this._destroyed && (!this._heads || gone)) await this.editor.showHead(buffer, note);
    } catch (error) {
      this.editor.showProblem(t("No head to show yet: {reason} Run the workflow once.", { reason: error.message }));
    }
  }

  _changed() {
    if (this._heads) this._showHead();
    noteChange(() => this._destroyed);
  }
}

/** The circle of people of one node Blend Shapes. */
class CircleWidget {
  constructor(node, name) {
    this.pad = new CirclePad({ onChange: () => noteChange(() => this._destroyed) });
    this.widget = node.addDOMWidget(name, CIRCLE, this.pad.el, {
      getValue: () => this.pad.value,
      setValue: (value) => (this.pad.value = String(value ?? "")),
      getMinHeight: () => HEIGHT,
      hideOnZoom: false,
      socketless: true,
    });
    const count = () => {
      const people = node.inputs?.filter((input) => input.name.startsWith("shape_") && input.link != null) ?? [];
      this.pad.count = Math.max(1, people.length);
    };
    chain(node, "onConnectionsChange", () => afterFrames(1, count));
    chain(node, "onConfigure", () => afterFrames(1, count));
    chain(node, "onAdded", () => remount(node, this.pad.el, () => this._destroyed));
    chain(node, "onRemoved", () => {
      this._destroyed = true;
      this.pad.destroy();
    });
    afterFrames(1, count);
  }
}

/** Before and after on one node Warp Face or Reshape Video. Undo needs its element to stay in the page: see `remount`. */
class WipeWidget {
  constructor(node) {
    this.node = node;
    this.wipe = new Wipe();
    this.widget = node.addDOMWidget("wipe", "FANTASYID_WIPE", this.wipe.el, {
      getMinHeight: () => WIPE_HEIGHT,
      hideOnZoom: false,
      serialize: false,
      socketless: true,
    });
    this.widget.serialize = false;
    chain(node, "onExecuted", (output) => this.take(output));
    chain(node, "onAdded", () => remount(node, this.wipe.el, () => !widgets.has(this)));
    chain(node, "onRemoved", () => widgets.delete(this));
    widgets.add(this);
  }

  /** Shows what a run of the node sent. @param {object} [output] */
  take(output) {
    if (output?.fantasyid_wipe?.length !== 2) return;
    const address = ({ filename, subfolder = "", type = "temp" }) =>
      api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
    this.wipe.show(...output.fantasyid_wipe.map(address));
  }
}

/** The node that the host calls "2", or "<node of the subgraph>:2". */
function nodeOf(id) {
  return String(id)
    .split(":")
    .reduce((found, part) => (found?.subgraph ?? found)?.getNodeById?.(part), app.graph?.rootGraph ?? app.graph);
}

/** A message arrives before the host has made its widget: makes room once the widget is there. */
function onMessage({ detail }) {
  const node = nodeOf(detail?.nodeId);
  if (!node?.constructor?.comfyClass?.startsWith("FantasyID_") || !detail.text) return;
  const attempt = (left) => afterFrames(2, () => makeRoom(node, detail.text) || (left && attempt(left - 1)));
  attempt(5);
}

/** ComfyUI notices by itself what a mouse did, but not what the keyboard did. Its own answer to Ctrl+Z, where it gives
 * one, comes first. */
function noteChange(isGone) {
  afterFrames(2, () => {
    if (isGone()) return;
    app.canvas?.emitBeforeChange();
    app.canvas?.emitAfterChange();
  });
}

/** Undo makes the node anew, and Nodes 2.0 goes on showing the element of the old one. */
function remount(node, el, isGone) {
  afterFrames(2, () => {
    if (el.isConnected || isGone()) return;
    const shown = document.querySelectorAll(`[data-node-id="${node.id}"] .${el.classList[0]}`);
    [...shown].find((each) => each !== el)?.replaceWith(el);
  });
}

function chain(node, name, added) {
  const before = node[name];
  node[name] = function (...given) {
    const result = before?.apply(this, given);
    added(...given);
    return result;
  };
}

function afterFrames(count, action) {
  requestAnimationFrame(() => (count > 1 ? afterFrames(count - 1, action) : action()));
}

/** Whether outputs under this key are the node's: "2", or "<id of its subgraph>:2". */
function isKeyOf(key, node) {
  const [own, graph] = String(key).split(":").reverse();
  return own === String(node.id) && (graph === undefined || graph === node.graph?.id);
}

function pageLanguage() {
  return String(app.extensionManager?.setting?.get("Comfy.Locale") ?? "en");
}

app.registerExtension({
  name: "fantasyid.faceEditor",
  getCustomWidgets() {
    return {
      [TYPE]: (node, name) => ({
        widget: new FaceEditorWidget(node, name).widget,
        minWidth: MIN_WIDTH,
        minHeight: MIN_HEIGHT,
      }),
      [CIRCLE]: (node, name) => ({ widget: new CircleWidget(node, name).widget, minWidth: 260, minHeight: HEIGHT }),
    };
  },
  async init() {
    const reading = readWords((address) => api.fetchApi(address), pageLanguage);
    if (!pageLanguage().startsWith("en")) await reading; // before the first node is made
  },
  setup() {
    api.addEventListener("progress_text", onMessage);
  },
  nodeCreated(node) {
    if (WIPED.includes(node.constructor.comfyClass)) new WipeWidget(node);
  },
  onNodeOutputsUpdated(outputs) {
    for (const each of widgets) {
      const key = Object.keys(outputs).find((name) => isKeyOf(name, each.node));
      if (key !== undefined) each.take(outputs[key]);
    }
  },
});
