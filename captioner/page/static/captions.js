// Captions of a photo: the one shown and the way back, its branches, the visitor's own, and others.

import { restingPlace } from "./live.js";

/** @typedef {import("./types.js").Caption} Caption */
/** @typedef {import("./types.js").Word} Word */
/** @typedef {import("./state.js").Shown} Shown */

export class Captions {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.state = viewer.state;
    this.texts = viewer.texts;
    const label = /** @type {HTMLLabelElement} */ (viewer.find(".own label"));
    label.htmlFor = viewer.findInput(".own input").id = viewer.idOf("own-words");
    viewer.find(".own form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#score();
    });
  }

  /**
   * Show another caption of the photo. Undo brings the present one back.
   * @param {Caption} caption
   * @param {string} origin
   * @param {number} [index]
   * @param {Shown["choosers"]} [choosers]
   */
  replace(caption, origin, index = restingPlace(caption.words), choosers = []) {
    this.viewer.regions.close();
    this.state.replace({ caption, origin, occlusion: null, choosers }, index);
    this.showAll();
  }

  /** Show a caption without a way back. @param {Caption} caption @param {string} origin @param {Shown["choosers"]} [choosers] */
  show(caption, origin, choosers = []) {
    this.viewer.regions.close();
    this.state.show({ caption, origin, occlusion: null, choosers }, restingPlace(caption.words));
    this.showAll();
  }

  /** @param {number} steps */
  undo(steps) {
    this.viewer.regions.close();
    if (!this.state.undo(steps)) return;
    this.showAll();
    this.#focusCurrent();
  }

  /** Rewrite the rest of the caption from the current word on. @param {string} word */
  branch(word) {
    const { shown, current, words } = this.state;
    if (!shown) return;
    const old = words[current]?.text;
    this.#sayAtWork("rewriting");
    const { chooser } = this.viewer.settings;
    const options = this.viewer.settings.options();
    const data = { caption: shown.caption, position: current, word, options };
    const choosers = words.slice(0, current).map((_, index) => this.state.chooserOf(index));
    this.viewer.request("branch", data, ({ caption }) => {
      const origin = this.texts.say(old ? "origin_branch_for" : "origin_branch", { word, old });
      this.replace(caption, origin, current, [...choosers, "visitor", chooser]);
      this.#focusCurrent();
    });
  }

  /** Generate the rest of a caption from its first words. @param {string[]} words */
  continueFrom(words) {
    this.#sayAtWork("rewriting");
    const { chooser } = this.viewer.settings;
    const data = { prefix: words.join(" "), options: this.viewer.settings.options() };
    this.viewer.request("captions", data, ({ captions: [caption] }) => {
      const origin = this.texts.say("origin_branch", { word: words[words.length - 1] });
      this.replace(caption, origin, words.length - 1, [...words.slice(1).map(() => chooser), "visitor", chooser]);
      this.#focusCurrent();
    });
  }

  /** Show the caption of these words alone. @param {string[]} words @param {Shown["choosers"]} [choosers] */
  finishAs(words, choosers) {
    this.#sayAtWork("rewriting");
    this.viewer.request("score", { text: words.join(" "), options: {} }, ({ caption }) => {
      const origin = this.texts.say("origin_ended", { word: words[words.length - 1] });
      this.replace(caption, origin, words.length - 1, choosers);
      this.#focusCurrent();
    });
  }

  /** Find captions with the visitor's settings. */
  find() {
    const { state, texts } = this;
    if (!state.shown) return;
    this.#sayAtWork("finding");
    const { chooser } = this.viewer.settings;
    this.viewer.request("captions", { options: this.viewer.settings.options() }, ({ captions }) => {
      state.captions = captions;
      state.finder = chooser;
      const origin = texts.say(this.viewer.settings.areDefaults ? "origin_own" : "origin_settings");
      // One step back undoes all changes of settings at once.
      if (state.shown?.origin === texts.say("origin_settings")) this.show(captions[0], origin, [chooser]);
      else this.replace(captions[0], origin, undefined, [chooser]);
    });
  }

  /** Show the caption of a link, which is none of the model's. @param {string} text @param {number} index */
  scoreLinked(text, index) {
    const origin = this.texts.say("link_origin");
    this.viewer.request("score", { text, options: {} }, ({ caption }) => this.replace(caption, origin, index));
  }

  /** Show one of the others. @param {number} index */
  choose(index) {
    const caption = this.state.captions[index];
    if (this.state.shown?.caption.caption === caption.caption) return;
    this.replace(caption, this.texts.say("origin_list"), undefined, [this.state.finder]);
    this.viewer.find(`[data-caption="${index}"]`).focus();
  }

  /** Put the caption of the state on the page. */
  showAll() {
    const { viewer, state, texts } = this;
    const { current, shown } = state;
    if (!shown) return;
    viewer.stepper.pause();
    viewer.stepper.showWords();
    viewer.stepper.goTo(current);
    this.#showStory();
    this.showOthers();
    viewer.tree.update();
    viewer.compare.update();
    viewer.announce(texts.say("caption_is", { caption: shown.caption.caption }));
    if (state.appearance.source === "importance") viewer.importance.measure();
  }

  showOthers() {
    const { captions } = this.state;
    const items = captions.map((caption, index) => this.#other(caption, index));
    if (!captions.length) {
      const item = document.createElement("li");
      item.textContent = this.texts.say("more_empty");
      items.push(item);
    }
    this.viewer.find(".others").replaceChildren(...items);
  }

  /** Say something about the visitor's own caption. @param {string} text */
  judge(text, trouble = false) {
    this.viewer.find(".verdict").textContent = text;
    this.viewer.find(".verdict").toggleAttribute("data-trouble", trouble);
    if (text) this.viewer.announce(text);
  }

  /** Say what the model does now. @param {string} key of a text */
  #sayAtWork(key) {
    delete this.viewer.find(".story").dataset.trouble;
    this.viewer.find(".origin").textContent = this.texts.say(key);
  }

  #score() {
    const { texts } = this;
    const text = this.viewer.findInput(".own input").value.trim();
    if (!text) {
      this.judge(texts.say("own_empty"), true);
      return;
    }
    /** @param {{caption: Caption}} answer */
    const done = ({ caption }) => {
      this.replace(caption, texts.say("origin_words"), undefined, ["visitor"]);
      const unknown = caption.words.filter((word) => !word.known).map((word) => word.text);
      this.judge(unknown.length ? texts.say("own_unknown", { words: unknown.join(", ") }) : "");
      this.viewer.compare.announce();
    };
    const failed = (/** @type {string} */ message) => this.judge(message, true);
    this.viewer.request("score", { text, options: {} }, done, failed);
  }

  #showStory() {
    const { viewer, state } = this;
    if (!state.shown) return;
    delete viewer.find(".story").dataset.trouble;
    viewer.find(".origin").textContent = state.shown.origin;
    viewer.find(".undo").hidden = state.history.length === 0;
    viewer.find(".restore").hidden = state.history.length < 2;
  }

  /** @param {Caption} caption @param {number} index */
  #other(caption, index) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.caption = String(index);
    const [text, score] = ["span", "b"].map((tag) => document.createElement(tag));
    const value = this.texts.twoDecimals.format(caption.score);
    text.textContent = caption.caption;
    text.lang = "en";
    score.textContent = this.texts.say("score", { value });
    button.append(text, score);
    button.setAttribute("aria-label", this.texts.say("more_load", { caption: caption.caption, value }));
    button.setAttribute("aria-current", String(this.state.shown?.caption.caption === caption.caption));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  #focusCurrent() {
    /** @type {HTMLElement | null} */ (this.viewer.stepper.list.querySelector("[tabindex='0']"))?.focus();
  }
}
