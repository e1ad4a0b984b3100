// Live: the words of a new caption arrive one by one, each with its map.

/** @typedef {import("./types.js").Word} Word */

const WORD_MS = 350;
const MORE_FOR_RECOGNIZED = 2; // times: the recognizer invents less than the language model

/**
 * Where to rest in a caption: at the word to which the photo added most probability, where a word
 * that was read off the photo counts for more; at the first word where nothing is known of that.
 * @param {Word[]} words
 */
export function restingPlace(words) {
  const added = words.map(({ probability, blind, recognized = 0 }) => {
    return (1 + MORE_FOR_RECOGNIZED * recognized) * (probability - (blind ?? probability));
  });
  return added.reduce((best, value, place) => (value > added[best] ? place : best), 0);
}

export class Live {
  /** Ends the arrival under way. @type {AbortController | null} */
  #underWay = null;

  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
  }

  /** Let the words of the caption shown arrive, and then rest where it stands now. */
  start() {
    const { stepper, state, prefersStillness } = this.viewer;
    const { shown, words, current: rest } = state;
    this.end();
    if (prefersStillness || !words.length) return;
    const ending = new AbortController();
    const parts = /** @type {HTMLElement[]} */ ([...stepper.list.children, ...stepper.film.children]);
    for (const part of parts) part.dataset.coming = "";
    let count = 0; // of the words that are there
    const arrive = () => {
      if (state.shown !== shown || count === words.length) {
        this.end();
        return;
      }
      for (const part of parts) if (part.dataset.index === String(count)) delete part.dataset.coming;
      stepper.goTo(count);
      count += 1;
    };
    const timer = setInterval(arrive, WORD_MS);
    arrive();
    ending.signal.addEventListener("abort", () => {
      clearInterval(timer);
      for (const part of parts) delete part.dataset.coming;
      if (state.shown === shown) stepper.goTo(rest);
    });
    for (const kind of ["keydown", "pointerdown", "click"]) {
      document.addEventListener(kind, () => this.end(), { capture: true, signal: ending.signal });
    }
    this.#underWay = ending;
  }

  /** All words are there at once, before a key, a click or a swipe does what it does. */
  end() {
    this.#underWay?.abort();
    this.#underWay = null;
  }
}
