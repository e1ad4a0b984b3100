// Candidates: all that could have stood at a word's place, with the word in its rank among them.

import { bar } from "./stepping.js";

/** @typedef {import("./types.js").Word} Word */
/** @typedef {import("./state.js").Chooser} Chooser */

/**
 * @typedef {object} Candidate
 * @property {string} text "" of the end
 * @property {number} probability
 * @property {"chosen" | "word" | "end"} kind
 * @property {boolean} likelier than the one chosen
 */

const LEAST_SHOWN = 0.01; // of probability: less is folded

/** A word and what else could stand in its place, most probable first. @param {Word} word @returns {Candidate[]} */
export function rankCandidates({ text, probability, alternatives, ending }) {
  /** @type {[string, number, Candidate["kind"]][]} */
  const all = [
    [text, probability, "chosen"],
    .../** @type {[string, number, "word"][]} */ (alternatives.map(([other, share]) => [other, share, "word"])),
  ];
  if (ending) all.push(["", ending, "end"]);
  return all
    .map(([name, share, kind]) => ({ text: name, probability: share, kind, likelier: share > probability }))
    .sort((one, other) => other.probability - one.probability);
}

/** Those that are folded away, and those that are not. @param {Candidate[]} candidates */
export function foldCandidates(candidates) {
  const isFolded = (/** @type {Candidate} */ { kind, probability }) => kind !== "chosen" && probability < LEAST_SHOWN;
  return { shown: candidates.filter((one) => !isFolded(one)), folded: candidates.filter(isFolded) };
}

/**
 * Whether the settings let no search choose a candidate: it would end too short a caption, or repeat
 * an n-gram of it.
 * @param {Pick<Candidate, "kind" | "text">} candidate
 * @param {string[]} before the words before it
 * @param {Record<string, number>} settings
 */
export function isRuledOut({ kind, text }, before, { min_length: least, no_repeat_ngram: size }) {
  if (kind === "end") return before.length < least;
  if (!size || before.length < size) return false;
  /** @param {string[]} words */
  const same = (words) => JSON.stringify(words);
  const last = same([...before.slice(before.length - size + 1), text]);
  return before.some((_, start) => same(before.slice(start, start + size)) === last);
}

/**
 * The key of a candidate's note. That a likelier one lost is true of a search alone.
 * @param {Pick<Candidate, "kind" | "likelier">} candidate
 * @param {Chooser | undefined} chooser of the word
 * @param {boolean} ruledOut see `isRuledOut`
 */
export function noteKey({ kind, likelier }, chooser, ruledOut = false) {
  if (kind === "chosen") {
    return chooser === "sampling" ? "chosen_drawn" : chooser === "visitor" ? "chosen_yours" : "chosen";
  }
  if (!likelier) return null;
  if (ruledOut && (chooser === "search" || chooser === "sampling")) return "likelier_ruled_out";
  return chooser === "search" ? "likelier_lost" : chooser === "sampling" ? "likelier_undrawn" : "likelier";
}

export class Candidates {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.state = viewer.state;
    this.texts = viewer.texts;
    this.list = viewer.find(".alternatives");
    this.list.addEventListener("click", (event) => {
      if (/** @type {Element} */ (event.target).closest("[data-end]")) this.#end();
    });
  }

  /** Show those of a word. @param {number} index */
  show(index) {
    const heading = this.state.eyesClosed ? "candidates" : "considered";
    this.viewer.find(".considered").textContent = this.texts.say(heading);
    const { shown, folded } = foldCandidates(rankCandidates(this.state.words[index]));
    const items = shown.map((candidate) => this.#item(candidate, index));
    if (folded.length) {
      const rest = document.createElement("details");
      const summary = document.createElement("summary");
      summary.textContent = this.texts.say("folded", { count: folded.length });
      const inner = document.createElement("ol");
      inner.append(...folded.map((candidate) => this.#item(candidate, index)));
      rest.append(summary, inner);
      rest.open = this.list.querySelector("details")?.open ?? false;
      this.list.replaceChildren(...items, Object.assign(document.createElement("li"), { className: "rest" }));
      this.list.lastElementChild?.append(rest);
    } else this.list.replaceChildren(...items);
  }

  /** @param {Candidate} candidate @param {number} index */
  #item(candidate, index) {
    const { texts, state } = this;
    const { kind, probability } = candidate;
    const text = kind === "end" ? texts.say("end_of_caption") : candidate.text;
    const number = texts.percent(probability);
    const key = noteKey(candidate, state.chooserOf(index), candidate.likelier && this.#isRuledOut(candidate, index));
    const note = key ? texts.say(key) : "";
    // There is no caption without words, and nothing can be continued without the photo.
    const choosable = !state.eyesClosed && kind !== "chosen" && (kind === "word" || index > 0);
    const values = { word: text, percent: number };
    const label = texts.say(kind === "end" ? "end_here" : "continue_with", values) + (note && `; ${note}`);
    const item = bar(text, probability, number, choosable ? label : null, note);
    item.dataset.kind = kind;
    if (kind === "end") item.querySelector("span")?.setAttribute("lang", texts.language);
    if (choosable && kind === "word") item.button.dataset.alternative = candidate.text;
    if (choosable && kind === "end") item.button.dataset.end = "";
    return item;
  }

  /** @param {Candidate} candidate @param {number} index */
  #isRuledOut(candidate, index) {
    const before = this.state.words.slice(0, index).map((word) => word.text);
    return isRuledOut(candidate, before, this.viewer.settings.options());
  }

  /** End the caption before the current word. */
  #end() {
    const { viewer, state } = this;
    const { current, words } = state;
    const choosers = words.slice(0, current).map((_, index) => state.chooserOf(index));
    viewer.captions.finishAs(words.slice(0, current).map((word) => word.text), choosers);
  }
}
