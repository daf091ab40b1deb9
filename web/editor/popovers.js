/**
 * The small windows of the toolbar: mirror, dice, and presets with their JSON.
 */

import { icon, make } from "./dom.js";
import { STARTERS, readShared, shareText } from "./presets.js";
import { t } from "../words/words.js";

/** A window below a button; one click elsewhere or Escape closes it. */
class Popover {
  constructor(button, title) {
    this._button = button;
    this.el = make("div", { class: "fid-popover", role: "dialog", "aria-label": title, hidden: true });
    this.el.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
    button.addEventListener("click", () => (this.el.hidden ? this.open() : this.close()));
    button.setAttribute("aria-expanded", false);
    this._outside = (event) => {
      if (!event.composedPath().some((each) => each === this.el || each === button)) this.close();
    };
  }

  open() {
    this.el.hidden = false;
    this._button.setAttribute("aria-expanded", true);
    window.addEventListener("pointerdown", this._outside, true);
  }

  close() {
    this.el.hidden = true;
    this._button.setAttribute("aria-expanded", false);
    window.removeEventListener("pointerdown", this._outside, true);
  }

  destroy() {
    this.close();
    this.el.remove();
  }
}

export class MirrorPopover extends Popover {
  /** @param {HTMLElement} button @param {import("./state.js").EditState} state */
  constructor(button, state) {
    super(button, t("Mirror"));
    const choice = (how, text) =>
      make(
        "button",
        { type: "button", class: "fid-wide", "data-testid": `fid-mirror-${how}`, onclick: () => state.mirror(how) },
        text,
      );
    this.el.append(
      choice("swap", t("Exchange left and right")),
      choice("left", t("Left side for both")),
      choice("right", t("Right side for both")),
    );
  }
}

export class DicePopover extends Popover {
  /** @param {HTMLElement} button @param {import("./state.js").EditState} state */
  constructor(button, state) {
    super(button, t("Random face"));
    const text = make("output", {}, "40 %");
    const amount = make("input", {
      type: "range",
      min: 0.05,
      max: 1,
      step: 0.05,
      value: 0.4,
      class: "fid-plain-range",
      "aria-label": t("How far from the original"),
      oninput: () => (text.textContent = `${Math.round(100 * amount.valueAsNumber)} %`),
    });
    const roll = () => state.randomise(amount.valueAsNumber);
    this.el.append(
      make("label", { class: "fid-row", title: t("Of each control's limits") }, t("How far"), amount, text),
      make(
        "button",
        { type: "button", class: "fid-wide", "data-testid": "fid-roll", onclick: roll },
        icon("dice"),
        t("Roll a random face"),
      ),
      make("p", {}, t("Pinned controls stay as they are.")),
    );
  }
}

export class PresetPopover extends Popover {
  /**
   * @param {HTMLElement} button
   * @param {import("./state.js").EditState} state
   * @param {import("./presets.js").Presets} presets
   * @param {(text: string) => void} say
   */
  constructor(button, state, presets, say) {
    super(button, t("Presets"));
    this._state = state;
    this._presets = presets;
    this._say = say;
    this._list = make("div", { class: "fid-presets" });
    this._name = make("input", {
      type: "text",
      placeholder: t("Name of a new preset"),
      "aria-label": t("Name of a new preset"),
      "data-testid": "fid-preset-name",
      onkeydown: (event) => event.key === "Enter" && this._save(),
    });
    this._json = make("textarea", {
      rows: 4,
      spellcheck: false,
      "aria-label": t("The edit as JSON"),
      "data-testid": "fid-json",
      title: t("Copy this to pass the edit on, or paste somebody else's and press Apply."),
    });
    this._file = make("input", {
      type: "file",
      accept: ".json,application/json",
      hidden: true,
      onchange: () => this._open(),
    });
    this.el.append(
      this._list,
      make(
        "div",
        { class: "fid-row" },
        this._name,
        this._command(t("Save"), "save", t("Save this face as a preset"), () => this._save()),
      ),
      make("label", { class: "fid-share" }, t("As JSON"), this._json),
      make(
        "div",
        { class: "fid-row" },
        this._command(t("Copy"), "copy", t("Copy the JSON"), () => this._copy()),
        this._command(t("Apply"), "load", t("Use the JSON above"), () => this._apply(this._json.value)),
        this._command(t("File"), "save", t("Save the JSON as a file"), () => this._download()),
        this._command(t("Open"), "load", t("Use a file"), () => this._file.click()),
      ),
      this._file,
    );
    this._stop = state.on("finish", () => this._showJson());
  }

  async open() {
    super.open();
    this._showJson();
    await this._showList();
  }

  destroy() {
    this._stop();
    super.destroy();
  }

  _command(text, picture, title, onclick) {
    return make("button", { type: "button", class: "fid-command", title, onclick }, icon(picture), text);
  }

  async _showList() {
    const own = await this._try(() => this._presets.own(), {});
    const entry = (name, values, mine) => {
      const label = mine ? name : t(name);
      const use = make(
        "button",
        {
          type: "button",
          class: "fid-preset",
          title: t("Use {name}", { name: label }),
          onclick: () => this._apply(JSON.stringify({ values })),
        },
        label,
      );
      const remove = make(
        "button",
        {
          type: "button",
          class: "fid-mini",
          title: t("Delete {name}", { name }),
          "aria-label": t("Delete {name}", { name }),
          onclick: () => this._remove(name),
        },
        icon("close"),
      );
      return make("span", { class: mine ? "fid-chip fid-mine" : "fid-chip" }, use, ...(mine ? [remove] : []));
    };
    this._list.replaceChildren(
      ...Object.entries(STARTERS).map(([name, values]) => entry(name, values, false)),
      ...Object.entries(own).map(([name, values]) => entry(name, values, true)),
    );
  }

  _showJson() {
    if (document.activeElement !== this._json) this._json.value = shareText(this._state.values);
  }

  async _save() {
    const name = this._name.value;
    const saved = await this._try(() => this._presets.save(name, this._state.values).then(() => true));
    if (!saved) return;
    this._name.value = "";
    this._say(t("Saved the preset {name}.", { name: name.trim() }));
    await this._showList();
  }

  async _remove(name) {
    await this._try(() => this._presets.remove(name));
    await this._showList();
  }

  _copy() {
    this._json.select();
    // The clipboard's newer interface is missing where ComfyUI is opened from another machine without https.
    this._say(document.execCommand("copy") ? t("Copied.") : t("Select the text and copy it with Ctrl+C."));
  }

  _apply(text) {
    try {
      const { values, notes } = readShared(text, this._state.controls);
      this._state.replace(values);
      this._say(notes.join(" "));
    } catch (error) {
      this._say(error.message);
    }
  }

  async _open() {
    const [file] = this._file.files;
    if (file) this._apply(await file.text());
    this._file.value = "";
  }

  _download() {
    const url = URL.createObjectURL(new Blob([shareText(this._state.values)], { type: "application/json" }));
    make("a", { href: url, download: "face_edit.json" }).click();
    URL.revokeObjectURL(url);
  }

  async _try(action, otherwise) {
    try {
      return await action();
    } catch (error) {
      this._say(error.message);
      return otherwise;
    }
  }
}
