// Regions of the photo: choosing one lists the words by how much of their attention it got.

import { peakOf, toMap } from "./drawing.js";
import { bar } from "./stepping.js";
import { chipLabel } from "./word_panel.js";

/** @typedef {import("./types.js").Word} Word */
/** @typedef {{word: Word, index: number, share: number}} Attending a word and its attention on a region */

const MAX_LISTED = 6;
/** @type {Record<string, [down: number, across: number]>} */
const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/**
 * All words by their attention on a cell, most first.
 * @param {Word[]} words
 * @param {number[]} grid
 * @param {number} cell in reading order
 * @returns {Attending[]}
 */
export function attendingAt(words, [, cols], cell) {
  return words
    .map((word, index) => ({ word, index, share: word.alpha[Math.floor(cell / cols)][cell % cols] }))
    .sort((one, other) => other.share - one.share);
}

/**
 * The cell that a key leads to from another; at the edge it stays.
 * @param {number} cell
 * @param {number[]} grid
 * @param {string} key
 */
export function moveCell(cell, [rows, cols], key) {
  const [down, across] = MOVES[key] ?? [0, 0];
  const row = Math.min(rows - 1, Math.max(0, Math.floor(cell / cols) + down));
  const col = Math.min(cols - 1, Math.max(0, (cell % cols) + across));
  return row * cols + col;
}

export class RegionQuery {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.state = viewer.state;
    this.texts = viewer.texts;
    viewer.find(".stage").addEventListener("click", (event) => {
      if (!this.state.words.length || this.state.eyesClosed) return;
      const cell = this.#cellAt(event);
      if (cell === null || cell === this.state.region) this.close();
      else this.open(cell);
    });
  }

  /** @param {number} cell */
  open(cell) {
    const { viewer, texts, state } = this;
    viewer.stepper.pause();
    viewer.tabs.open("word");
    state.selectRegion(cell);
    const attending = attendingAt(state.words, state.grid, cell);
    const place = texts.placeName(cell, state.grid);
    const count = state.grid[0] * state.grid[1];
    this.#highlight(attending);
    viewer.find(".reading").hidden = true;
    viewer.find(".region").hidden = false;
    viewer.find(".spot").textContent = texts.say("region_place", { place });
    const most = attending[0].share || 1;
    viewer.find(".attending").replaceChildren(...attending.slice(0, MAX_LISTED).map((item) => this.#line(item, most)));
    viewer.find(".share").textContent = texts.say("region_note", { count, percent: texts.finePercent(1 / count) });
    const words = attending
      .slice(0, 3)
      .map(({ word, share }) => `${word.text}, ${texts.finePercent(share)}`)
      .join("; ");
    viewer.announce(texts.say("region_words", { place, words }));
    viewer.stepper.draw();
  }

  close() {
    if (this.state.region === null) return;
    this.state.selectRegion(null);
    const { list } = this.viewer.stepper;
    delete list.dataset.region;
    this.viewer.find(".region").hidden = true;
    this.viewer.find(".reading").hidden = false;
    this.state.words.forEach((word, index) => {
      const part = /** @type {HTMLElement} */ (list.children[index]);
      part.dataset.percent = this.texts.percent(word.probability);
      part.setAttribute("aria-label", chipLabel(word, this.state.isStrange, this.texts));
    });
    this.viewer.stepper.draw();
  }

  /** Take a key that was pressed on the photo; whether it means anything here. @param {string} key */
  takeKey(key) {
    const { state } = this;
    if (state.eyesClosed) return false;
    if (key in MOVES) this.open(this.#next(key));
    else if (key === "Enter" && state.region === null) this.open(this.#next(key));
    else if (key === "Enter") {
      const [first] = attendingAt(state.words, state.grid, Number(state.region));
      this.viewer.stepper.goTo(first.index, true);
    } else if (key === "Escape" && state.region !== null) this.close();
    else return false;
    return true;
  }

  /** Begins where the current word has most attention. @param {string} key */
  #next(key) {
    const { state } = this;
    if (state.region === null) return peakOf(toMap(state.words[state.current].alpha));
    return moveCell(state.region, state.grid, key);
  }

  /** @param {MouseEvent} event @returns {number | null} */
  #cellAt(event) {
    const box = this.viewer.stepper.canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    if (x < 0 || x >= 1 || y < 0 || y >= 1) return null;
    const [rows, cols] = this.state.grid;
    return Math.floor(y * rows) * cols + Math.floor(x * cols);
  }

  /** @param {Attending} item @param {number} most */
  #line({ word, index, share }, most) {
    const values = { word: word.text, percent: this.texts.finePercent(share) };
    const item = bar(word.text, share / most, values.percent, this.texts.say("region_jump", values));
    item.button.dataset.index = String(index);
    return item;
  }

  /** From least to most, as maps are drawn; the numbers say how little that may be. @param {Attending[]} attending */
  #highlight(attending) {
    const { list } = this.viewer.stepper;
    list.dataset.region = "";
    const [most, least] = [attending[0].share, attending[attending.length - 1].share];
    for (const { word, index, share } of attending) {
      const part = /** @type {HTMLElement} */ (list.children[index]);
      const percent = this.texts.finePercent(share);
      part.style.setProperty("--attention", String(most > least ? (share - least) / (most - least) : 0));
      part.dataset.percent = percent;
      part.setAttribute("aria-label", this.texts.say("chip_region", { word: word.text, percent }));
    }
  }
}
