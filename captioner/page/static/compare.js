// Two captions of a photo side by side: word by word, with the maps in pairs.

import { drawMap, toMap } from "./drawing.js";
import { getContext } from "./stepping.js";

/** @typedef {import("./types.js").Caption} Caption */
/** @typedef {import("./types.js").Word} Word */
/** @typedef {[number | null, number | null]} Pair places in the two captions; null where one has no word */

const MAP_HEIGHT = 48;
const MAP_WIDTH = 72; // at most
const MAP_SIDE = 48;
const SIDES = ["A", "B"];

/**
 * Align two captions with the fewest words changed, added and left out.
 * @param {string[]} first
 * @param {string[]} second
 * @returns {Pair[]}
 */
export function align(first, second) {
  /** By how many words there are left of each: the cost. */
  const costs = Array.from({ length: first.length + 1 }, () => new Array(second.length + 1).fill(0));
  /** @param {number} i @param {number} j */
  const costOfPair = (i, j) => costs[i + 1][j + 1] + Number(first[i] !== second[j]);
  for (let i = first.length; i >= 0; i -= 1) {
    for (let j = second.length; j >= 0; j -= 1) {
      if (i === first.length || j === second.length) costs[i][j] = first.length - i + second.length - j;
      else costs[i][j] = Math.min(costOfPair(i, j), costs[i + 1][j] + 1, costs[i][j + 1] + 1);
    }
  }
  /** @type {Pair[]} */
  const pairs = [];
  let [i, j] = [0, 0];
  while (i < first.length || j < second.length) {
    const both = i < first.length && j < second.length;
    if (both && costs[i][j] === costOfPair(i, j)) pairs.push([i++, j++]);
    else if (i < first.length && costs[i][j] === costs[i + 1][j] + 1) pairs.push([i++, null]);
    else pairs.push([null, j++]);
  }
  return pairs;
}

export class Compare {
  /** Captions of the photo that were seen, by their texts. @type {Map<string, Caption>} */
  #seen = new Map();
  /** Texts of the two. */
  #chosen = ["", ""];

  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.texts = viewer.texts;
    this.panel = viewer.find("[data-panel=own]");
    this.view = viewer.find(".compare");
    this.choices = /** @type {HTMLSelectElement[]} */ ([...this.view.querySelectorAll("select")]);
    this.panel.addEventListener("open", () => this.show());
    this.view.addEventListener("change", () => {
      this.#chosen = this.choices.map(({ value }) => value);
      this.show();
    });
    this.view.addEventListener("click", (event) => this.#goToWord(/** @type {Element} */ (event.target)));
  }

  clear() {
    this.#seen.clear();
    this.view.hidden = true;
  }

  /** Compare the model's caption with the one shown, or if that is shown, with the next one. */
  update() {
    const { shown, captions, eyesClosed } = this.viewer.state;
    if (!shown || !captions.length || eyesClosed) return; // what it says without the photo has no score
    for (const caption of [...captions, shown.caption]) this.#seen.set(caption.caption, caption);
    const [own, next = own] = captions;
    const other = shown.caption.caption === own.caption ? next : shown.caption;
    this.#chosen = [own.caption, other.caption];
    this.show();
  }

  /** Put the two captions on the page, if there are two and the tab is open. */
  show() {
    const two = this.#chosen.map((text) => this.#seen.get(text));
    this.view.hidden = this.#seen.size < 2;
    if (this.panel.hidden || this.view.hidden || !two[0] || !two[1]) return;
    this.choices.forEach((choice, side) => {
      choice.replaceChildren(...[...this.#seen.keys()].map((text) => new Option(text)));
      choice.value = this.#chosen[side];
    });
    this.#showTable(two[0], two[1]);
    this.viewer.find(".likelier").textContent = this.#verdict(two[0], two[1]);
    this.draw();
  }

  /** Draw the maps of all words on the page. */
  draw() {
    const { image, appearance } = this.viewer.state;
    if (this.panel.hidden || this.view.hidden || !image) return;
    const ratio = window.devicePixelRatio || 1;
    const shape = image.naturalWidth / image.naturalHeight;
    const width = Math.min(MAP_WIDTH, MAP_HEIGHT * shape);
    const height = width / shape;
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (this.view.querySelectorAll("[data-place]"))) {
      const canvas = /** @type {HTMLCanvasElement} */ (button.firstElementChild);
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
      Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
      const context = getContext(canvas);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      const map = toMap(this.#wordOf(button).alpha);
      drawMap(context, canvas.width, canvas.height, map, { ...appearance, peak: false }, MAP_SIDE);
    }
  }

  /** Tell screen readers which of the two is likelier. */
  announce() {
    const said = this.view.hidden ? [".verdict"] : [".verdict", ".likelier"];
    const parts = said.map((part) => this.viewer.find(part).textContent);
    this.viewer.announce(parts.join(" ").trim());
  }

  /** @param {HTMLElement} button */
  #wordOf({ dataset }) {
    const caption = /** @type {Caption} */ (this.#seen.get(this.#chosen[Number(dataset.side)]));
    return caption.words[Number(dataset.place)];
  }

  /** @param {Caption} first @param {Caption} second */
  #verdict(first, second) {
    const [one, other] = [first, second].map(({ perplexity }) => this.texts.choices(perplexity));
    if (one === other) return this.texts.say("compare_equal", { value: one });
    const [name, lower, higher] = first.perplexity < second.perplexity ? ["A", one, other] : ["B", other, one];
    return this.texts.say("compare_likelier", { name, lower, higher });
  }

  /** @param {Caption} first @param {Caption} second */
  #showTable({ words: first }, { words: second }) {
    const pairs = align(...textsOf(first, second));
    const isSame = (/** @type {Pair} */ [i, j]) => i !== null && j !== null && first[i].text === second[j].text;
    const differs = pairs.findIndex((pair) => !isSame(pair));
    const rows = pairs.flatMap((pair, place) => {
      const row = document.createElement("tr");
      row.toggleAttribute("data-differs", !isSame(pair));
      row.append(...[first, second].map((words, side) => this.#cell(words, pair[side], side)));
      return place === differs ? [this.#mark(), row] : [row];
    });
    this.view.querySelector("tbody")?.replaceChildren(...rows);
  }

  #mark() {
    const [row, cell] = ["tr", "td"].map((tag) => document.createElement(tag));
    row.className = "differs";
    cell.textContent = this.texts.say("compare_differs");
    cell.setAttribute("colspan", "2");
    row.append(cell);
    return row;
  }

  /** @param {Word[]} words @param {number | null} place @param {number} side */
  #cell(words, place, side) {
    const cell = document.createElement("td");
    if (place === null) {
      cell.textContent = "–";
      return cell;
    }
    const { text, probability } = words[place];
    const button = document.createElement("button");
    button.type = "button";
    Object.assign(button.dataset, { side, place });
    const [name, number] = ["span", "b"].map((tag) => document.createElement(tag));
    name.textContent = text;
    name.lang = "en";
    const percent = this.texts.percent(probability);
    number.textContent = percent;
    button.append(document.createElement("canvas"), name, number);
    button.setAttribute("aria-label", this.texts.say("compare_word", { name: SIDES[side], word: text, percent }));
    cell.append(button);
    return cell;
  }

  /** Show a word on the photo. @param {Element} target */
  #goToWord(target) {
    const { dataset } = /** @type {HTMLElement} */ (target.closest("[data-place]") ?? this.view);
    if (dataset.place === undefined) return;
    const { captions, state, stepper } = this.viewer;
    const caption = /** @type {Caption} */ (this.#seen.get(this.#chosen[Number(dataset.side)]));
    const chosen = this.#chosen;
    if (state.shown?.caption === caption) stepper.goTo(Number(dataset.place));
    else captions.replace(caption, this.texts.say("origin_compare"), Number(dataset.place));
    this.#chosen = chosen;
    this.show();
    /** @type {HTMLElement} */ (
      this.view.querySelector(`[data-side="${dataset.side}"][data-place="${dataset.place}"]`)
    ).focus();
  }
}

/** @param {Word[][]} captions @returns {[string[], string[]]} */
function textsOf(...captions) {
  const [first, second] = captions.map((words) => words.map(({ text }) => text));
  return [first, second];
}
