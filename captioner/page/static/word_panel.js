// The panel of a word: how sure the model was, what the word owes to the photo, and what its map shows.

import { describeHabit, habitOf, wasRead } from "./evidence.js";

/** @typedef {import("./types.js").Word} Word */
/** @typedef {import("./drawing.js").RegionMap} RegionMap */

/**
 * A word and its probability, for screen readers.
 * @param {Word} word
 * @param {boolean} isStrange see ViewerState
 * @param {import("./texts.js").Texts} texts
 */
export function chipLabel(word, isStrange, texts) {
  if (!word.known) return texts.say("chip_unknown", { word: word.text });
  const values = { word: word.text, percent: texts.percent(word.probability) };
  const label = texts.say(isStrange ? "chip_estimate" : "chip", values);
  return wasRead(word) ? `${label}, ${texts.say("chip_read")}` : label;
}

/** How much of a part is filled: by habit, and by what the photo added. @param {HTMLElement} part @param {Word} word */
export function showShares(part, word) {
  const habit = habitOf(word);
  part.style.setProperty("--sure", String(word.probability));
  part.style.setProperty("--habit", String(habit ?? 0));
  part.toggleAttribute("data-weighed", habit !== null);
}

export class WordPanel {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.state = viewer.state;
    this.texts = viewer.texts;
  }

  /** @param {number} index @param {RegionMap} map of the word */
  show(index, map) {
    const { viewer, state, texts } = this;
    const word = state.words[index];
    this.#say(".place", texts.say("word_of", { place: index + 1, count: state.words.length }));
    this.#say(".word", word.text);
    const [known, unknown] = state.isStrange ? ["estimate", "estimate_any"] : ["sure", "sure_any"];
    const percent = texts.percent(word.probability);
    this.#say(".sure b", texts.say(word.known ? known : unknown, { percent }));
    showShares(viewer.find(".sure .bar"), word);
    this.#showHabit(word);
    viewer.candidates.show(index);
    const ending = index === state.words.length - 1 ? state.shown?.caption.ending : null;
    this.#say(".after", ending ? texts.say("end_after", { percent: texts.percent(ending.probability) }) : "");
    this.#say(".read", wasRead(word) ? texts.say("read_off") : "");
    this.#say(".evidence", viewer.importance.describe(index, map));
    this.#showScale(map);
  }

  /** @param {string} selector @param {string} text */
  #say(selector, text) {
    this.viewer.find(selector).textContent = text;
  }

  /** @param {Word} word */
  #showHabit(word) {
    const habit = this.state.eyesClosed ? null : describeHabit(word, this.texts);
    this.#say(".anyway", habit?.anyway ?? "");
    this.#say(".change", habit?.change ?? "");
    this.viewer.find(".change").classList.toggle("swatch", habit?.added ?? false);
  }

  /** The numbers of the map's colours. @param {RegionMap} map */
  #showScale({ range: [low, high] = [0, 0] }) {
    const { texts } = this;
    const points = (/** @type {number} */ loss) => texts.oneDecimal.format(100 * loss);
    const measured = this.state.drawnOcclusion !== null;
    this.#say(".least", measured ? points(low) : texts.finePercent(low));
    const most = measured
      ? texts.say("points", { count: points(high) })
      : texts.say("of_attention", { percent: texts.finePercent(high) });
    this.#say(".most", most);
  }
}
