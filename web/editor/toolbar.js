/**
 * What concerns the whole face: undo, versions A and B, dice, presets, reset.
 */

import { icon, make } from "./dom.js";
import { SIDES } from "./edit.js";
import { DicePopover, MirrorPopover, PresetPopover } from "./popovers.js";
import { t } from "../words/words.js";

const SIDE_CHOICES = {
  L: { sides: [SIDES[0]], title: "Move only the left side of the picture" },
  Both: { sides: SIDES, title: "Move both sides of the face alike" },
  R: { sides: [SIDES[1]], title: "Move only the right side of the picture" },
};

export class Toolbar {
  /**
   * @param {import("./state.js").EditState} state
   * @param {import("./presets.js").Presets} presets
   * @param {(text: string) => void} say
   */
  constructor(state, presets, say) {
    this._state = state;
    this._undo = this._button("undo", t("Undo (Ctrl+Z)"), () => state.undo());
    this._redo = this._button("redo", t("Redo (Ctrl+Shift+Z)"), () => state.redo());
    this._slots = ["A", "B"].map((slot) =>
      make(
        "button",
        {
          type: "button",
          class: "fid-slot",
          title: t("Version {slot}: switch between two faces", { slot }),
          "data-testid": `fid-slot-${slot}`,
          onclick: () => state.showSlot(slot),
        },
        slot,
      ),
    );
    this._sides = Object.entries(SIDE_CHOICES).map(([name, { sides, title }]) =>
      make(
        "button",
        {
          type: "button",
          class: "fid-slot",
          title: t(title),
          "data-testid": `fid-sides-${name.toLowerCase()}`,
          onclick: () => state.setSides(sides),
        },
        t(name),
      ),
    );
    this._mirror = this._button("mirror", t("Mirror the face, or make it even"));
    const dice = this._button("dice", t("Random face"));
    const presetButton = this._button("presets", t("Presets, and the edit as JSON"));
    presetButton.append(t("Presets"));
    this._reset = this._button("reset", t("Set all controls back to 0, but for pinned ones"), () => state.reset());
    this._popovers = [
      new MirrorPopover(this._mirror, state),
      new DicePopover(dice, state),
      new PresetPopover(presetButton, state, presets, say),
    ];
    this.el = make(
      "div",
      { class: "fid-toolbar", role: "toolbar", "aria-label": t("Face editor") },
      this._undo,
      this._redo,
      make("span", { class: "fid-slots", role: "group", "aria-label": t("Versions") }, ...this._slots),
      make("span", { class: "fid-slots", role: "group", "aria-label": t("Sides that move") }, ...this._sides),
      this._mirror,
      make("span", { class: "fid-space" }),
      dice,
      presetButton,
      this._reset,
      ...this._popovers.map(({ el }) => el),
    );
    this._stops = ["change", "finish"].map((event) => state.on(event, () => this.update()));
    this.update();
  }

  update() {
    this._undo.disabled = !this._state.canUndo;
    this._redo.disabled = !this._state.canRedo;
    this._reset.disabled = Object.keys(this._state.values).length === 0;
    Object.values(SIDE_CHOICES).forEach(({ sides }, n) => {
      this._sides[n].setAttribute("aria-pressed", String(sides) === String(this._state.sides));
    });
    for (const button of this._slots) button.setAttribute("aria-pressed", button.textContent === this._state.slot);
  }

  destroy() {
    for (const stop of this._stops) stop();
    for (const popover of this._popovers) popover.destroy();
    this.el.remove();
  }

  _button(name, title, onclick = () => {}) {
    return make(
      "button",
      { type: "button", class: "fid-button", title, "aria-label": title, "data-testid": `fid-${name}`, onclick },
      icon(name),
    );
  }
}
