// Eyes closed: what the model says without the photo, in place of its caption, until they open.

import { habitShare } from "./evidence.js";
import { describeFamiliarity, levelOf } from "./familiarity.js";

export class Eyes {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.state = viewer.state;
    this.texts = viewer.texts;
    this.choice = viewer.find(".eyes");
    this.choice.addEventListener("input", () => (this.#areWantedClosed ? this.#close() : this.#open()));
  }

  get #areWantedClosed() {
    return this.viewer.findInput(".eyes [value=closed]").checked;
  }

  /** Say how familiar the photo is, and whether it is seen. */
  show() {
    const { viewer, state } = this;
    const { eyesClosed, words, shown } = state;
    const eyes = eyesClosed ? "closed" : "open";
    viewer.findInput(`.eyes [value=${eyes}]`).checked = true;
    viewer.root.dataset.eyes = eyes;
    this.choice.hidden = !eyesClosed && habitShare(words) === null;
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (viewer.host.querySelectorAll(".export button"))) {
      button.disabled = eyesClosed; // or what is said without the photo would go out as its caption
    }
    const familiarity = shown?.caption.familiarity ?? null;
    const strip = viewer.find(".level");
    strip.textContent = familiarity === null ? "" : describeFamiliarity(familiarity, this.texts);
    strip.dataset.level = familiarity === null ? "" : levelOf(familiarity);
  }

  #close() {
    const { viewer, state, texts } = this;
    const { shown } = state;
    const failed = (/** @type {string} */ message) => {
      this.show();
      viewer.showTrouble(message);
    };
    viewer.request("blind", { options: viewer.settings.options() }, ({ caption }) => {
      if (state.shown !== shown || !this.#areWantedClosed) return; // open again, or another caption
      viewer.regions.close();
      const percent = texts.percent(habitShare(state.words) ?? 0);
      state.closeEyes({ caption, origin: texts.say("origin_blind", { percent }), occlusion: null });
      viewer.captions.showAll();
    }, failed);
  }

  #open() {
    if (!this.state.eyesClosed) return;
    this.state.openEyes();
    this.viewer.captions.showAll();
  }
}
