// The viewer's state, and the transitions between its states. Knows no page and no server.

import { isStrange } from "./familiarity.js";

/** @typedef {import("./types.js").Caption} Caption */
/** @typedef {import("./types.js").Occlusion} Occlusion */
/** @typedef {"empty" | "looking" | "failed" | "done"} Phase */

/**
 * A caption on the screen: one of the model's, a branch of one, or the visitor's own.
 * @typedef {object} Shown
 * @property {Caption} caption
 * @property {string} origin where it comes from, for the visitor
 * @property {Occlusion | null} occlusion once it has been measured
 * @property {(Chooser | undefined)[]} [choosers] of its words; the last, of those that follow, too
 */

/** What chose a word, where that is known. @typedef {"search" | "sampling" | "visitor"} Chooser */
/** @typedef {{shown: Shown | null, current: number, history: {shown: Shown, current: number}[]}} Sight */

/**
 * How maps are drawn.
 * @typedef {object} Appearance
 * @property {"attention" | "importance"} source
 * @property {"smooth" | "grid"} shape
 * @property {"word" | "caption"} scale what takes all colours: each map by itself, or all together
 * @property {"viridis" | "spotlight"} palette
 * @property {number} opacity
 * @property {boolean} peak whether the highest value is marked
 */

export class ViewerState {
  /** @type {Phase} */
  phase = "empty";
  /** Counts photos, so that a late answer is not taken for one about a newer photo. */
  turn = 0;
  /** Which photo, as the page names it. @type {string | null | undefined} */
  photoId = null;
  /** Of the photo's file, as the visitor knows it. */
  name = "";
  /** @type {HTMLImageElement | null} */
  image = null;
  /** Found by the model, best first. @type {Caption[]} */
  captions = [];
  /** What chose the words of these. @type {Chooser} */
  finder = "search";
  /** @type {Shown | null} */
  shown = null;
  /** What was shown before. @type {{shown: Shown, current: number}[]} */
  history = [];
  /** The place of the current word. */
  current = 0;
  /** The word under the mouse, shown as long as the mouse stays there. @type {number | null} */
  peeked = null;
  /** Whether the photo is shown without a map, as long as it is held. */
  isBare = false;
  /** The region of which the attention is listed, in reading order. @type {number | null} */
  region = null;
  /** What there was before the eyes were closed, while they are. @type {Sight | null} */
  #sight = null;
  /** @type {Appearance} */
  appearance = {
    source: "attention",
    shape: "smooth",
    scale: "word",
    palette: "spotlight",
    opacity: 0.6,
    peak: true,
  };

  get words() {
    return this.shown?.caption.words ?? [];
  }

  /** Whether the caption shown is one that the model says without the photo. */
  get eyesClosed() {
    return this.#sight !== null;
  }

  /** What is shown with the eyes open. @returns {Sight} */
  get sight() {
    const { shown, current, history } = this;
    return this.#sight ?? { shown, current, history };
  }

  /** Whether to believe the probabilities less: of a photo unlike those of training. */
  get isStrange() {
    return isStrange(this.shown?.caption.familiarity);
  }

  /** What chose a word of the caption shown. @param {number} index @returns {Chooser | undefined} */
  chooserOf(index) {
    const choosers = this.shown?.choosers ?? [];
    return choosers[Math.min(index, choosers.length - 1)];
  }

  /** The place of the word whose map is drawn. */
  get drawnIndex() {
    return this.peeked ?? this.current;
  }

  /** The grid of the caption shown: [rows, columns]. */
  get grid() {
    return this.shown?.caption.grid ?? [1, 1];
  }

  /** The measured importance, if it is what the maps show. */
  get drawnOcclusion() {
    return this.appearance.source === "importance" ? (this.shown?.occlusion ?? null) : null;
  }

  /**
   * Begin with another photo, and forget everything about the one before.
   * @param {Phase} phase
   * @param {string | null} [photoId]
   * @param {string} [name]
   */
  startPhoto(phase, photoId, name = "") {
    this.turn += 1;
    Object.assign(this, { phase, photoId, name, image: null, captions: [], shown: null });
    Object.assign(this, { history: [], current: 0, peeked: null, region: null, finder: "search" });
    this.#sight = null;
  }

  /** @param {Shown} shown */
  show(shown, current = 0) {
    this.openEyes();
    this.shown = shown;
    this.goTo(current);
  }

  /** Show another caption of the photo; `undo` brings the present one back. @param {Shown} shown */
  replace(shown, current = 0) {
    this.openEyes();
    if (this.shown) this.history.push({ shown: this.shown, current: this.current });
    this.show(shown, current);
  }

  /** Go back by steps; whether there was anything to go back to. @param {number} steps */
  undo(steps) {
    const [kept] = this.history.splice(this.history.length - steps);
    if (!kept) return false;
    this.show(kept.shown, kept.current);
    return true;
  }

  /** @param {number} index limited to the words there are */
  goTo(index) {
    this.current = Math.max(0, Math.min(this.words.length - 1, index));
    this.peeked = this.region = null;
  }

  /** @param {number | null} index */
  peek(index) {
    this.peeked = index;
  }

  /** @param {number | null} cell */
  selectRegion(cell) {
    this.region = cell;
    this.peeked = null;
  }

  /** @param {Partial<Appearance>} changes */
  changeAppearance(changes) {
    this.appearance = { ...this.appearance, ...changes };
  }

  /** Show what the model says without the photo. `undo` knows nothing of it. @param {Shown} blind */
  closeEyes(blind) {
    this.#sight = this.sight;
    Object.assign(this, { shown: blind, history: [] });
    this.goTo(0);
  }

  /** Bring everything back as it was before the eyes were closed. */
  openEyes() {
    if (!this.#sight) return;
    Object.assign(this, this.#sight);
    this.#sight = null;
    this.goTo(this.current);
  }
}
