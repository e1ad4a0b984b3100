// Stepping: which word is the current one, and everything that shows it. Needs no server.

import { blend, cover, drawMap, markCell, peakOf, rangeOf, toMap } from "./drawing.js";
import { wasRead } from "./evidence.js";
import { LEAST_LOSS } from "./importance.js";
import { chipLabel, showShares } from "./word_panel.js";

/** @typedef {import("./viewer.js").Viewer} Viewer */
/** @typedef {import("./types.js").Word} Word */
/** @typedef {import("./drawing.js").RegionMap} RegionMap */

const STEP_MS = 1000;
const FADE_MS = 160;
const LEAST_DROP = 0.001; // of probability: less than this does not count as important
const CHIP_SIZES = [20, 18, 16, 14];
const FILM_HEIGHT = 64;
const FILM_MAP_SIDE = 48;

export class Stepper {
  /** The cells on the canvas: those of the word shown, or between two words'. @type {number[] | null} */
  #drawn = null;
  #frame = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.state = viewer.state;
    this.texts = viewer.texts;
    this.list = viewer.find(".words");
    this.film = viewer.find(".film");
    this.stage = viewer.find(".stage");
    this.canvas = /** @type {HTMLCanvasElement} */ (viewer.find(".stage canvas"));
    this.#listen();
  }

  get isPlaying() {
    return this.#timer !== undefined;
  }

  /** Put all words of the caption on the page. */
  showWords() {
    const { words } = this.state;
    this.list.replaceChildren(...words.map((word, index) => this.#chip(word, index)));
    this.list.hidden = words.length === 0;
    this.viewer.find(".lead").textContent = words.length ? "" : this.texts.say("no_words");
    this.viewer.setStepping(words.length > 0);
    this.viewer.eyes.show();
    this.fitChips();
    void document.fonts.ready.then(() => this.fitChips());
    this.film.replaceChildren(...words.map((word, index) => this.#thumbnail(word, index)));
    this.drawFilm();
  }

  clear() {
    this.#drawn = null;
    this.canvas.removeAttribute("data-word");
  }

  /** @param {number} index */
  goTo(index, focus = false) {
    const { state } = this;
    if (!state.words.length) return;
    this.viewer.regions.close();
    state.goTo(index);
    this.#markPeeked();
    for (const part of [...this.list.children, ...this.film.children]) {
      this.#markCurrent(/** @type {HTMLElement} */ (part), focus);
    }
    const [place, count] = [state.current + 1, state.words.length];
    this.viewer.find(".count").textContent = `${place} / ${count}`;
    this.viewer.keeper.note();
    this.showWord();
  }

  /** @param {number} by */
  step(by) {
    this.pause();
    this.goTo(this.state.current + by);
    const word = this.state.words[this.state.current];
    if (word) this.viewer.announce(word.text);
  }

  /** Show a word as long as the mouse is on it. @param {number | null} index */
  peek(index) {
    const changed = index !== this.state.peeked && this.state.region === null;
    if (changed) this.state.peek(index);
    this.#markPeeked(index);
    if (changed && this.state.words.length) this.showWord();
  }

  togglePlaying() {
    if (this.isPlaying) this.pause();
    else this.#play();
  }

  pause() {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.viewer.find(".play").setAttribute("aria-label", this.texts.say("play"));
    delete this.viewer.root.dataset.playing;
  }

  /** Put all about the word on the page, and its map. */
  showWord() {
    const { viewer, texts, state } = this;
    const index = state.drawnIndex;
    const map = this.mapOf(index);
    viewer.wordPanel.show(index, map);
    viewer.doubt.mark();
    const label = state.eyesClosed ? texts.say("covered") : this.#mapLabel(state.words[index], map);
    this.canvas.setAttribute("aria-label", label);
    this.#fadeTo(map.cells);
  }

  /** The attention of a word, or its importance once that has been measured. @param {number} index */
  mapOf(index) {
    const { words, appearance, drawnOcclusion: occlusion } = this.state;
    const grids = occlusion ? occlusion.drops : words.map(({ alpha }) => alpha);
    const map = toMap(grids[index]);
    if (occlusion) map.cells = map.cells.map((drop) => (drop < LEAST_DROP ? 0 : drop));
    let [low, high] = rangeOf(map.cells);
    if (appearance.scale === "caption") [low, high] = [0, Math.max(...grids.flat(2))];
    if (occlusion) high = Math.max(high, low + LEAST_LOSS); // a small loss is not drawn as if it were large
    return { ...map, range: /** @type {[number, number]} */ ([low, high]) };
  }

  /** Draw the photo, with the map of the word or the outline of a region. */
  draw() {
    const { canvas, state } = this;
    const box = this.stage.getBoundingClientRect();
    const [wide, high] = state.image ? [state.image.naturalWidth, state.image.naturalHeight] : [4, 3];
    const fit = Math.min(box.width / wide, box.height / high);
    const ratio = window.devicePixelRatio || 1;
    canvas.style.width = `${wide * fit}px`;
    canvas.style.height = `${high * fit}px`;
    canvas.width = Math.max(1, Math.round(wide * fit * ratio)); // clears it, too
    canvas.height = Math.max(1, Math.round(high * fit * ratio));
    canvas.style.visibility = state.image ? "" : "hidden"; // its size is not yet the photo's
    if (!state.image) return;
    const context = getContext(canvas);
    context.imageSmoothingQuality = "high";
    context.drawImage(state.image, 0, 0, canvas.width, canvas.height);
    if (!this.#drawn || !state.words.length || state.isBare) return;
    if (state.eyesClosed) {
      cover(context, canvas.width, canvas.height);
      return;
    }
    if (state.region !== null) {
      markCell(context, canvas.width, canvas.height, state.grid, state.region);
      return;
    }
    const map = { ...this.mapOf(state.drawnIndex), cells: this.#drawn };
    drawMap(context, canvas.width, canvas.height, map, state.appearance);
  }

  /** Draw every word's map, as large as there is room for; beyond that the film scrolls. */
  drawFilm() {
    const { image, words, appearance } = this.state;
    this.film.style.visibility = image ? "" : "hidden";
    if (!image || !words.length) return;
    const ratio = window.devicePixelRatio || 1;
    const shape = Math.min(2, Math.max(0.5, image.naturalWidth / image.naturalHeight));
    const room = this.film.clientWidth / words.length - 4.5;
    const wide = Math.max(Math.min(FILM_HEIGHT * shape, room), 40);
    const high = Math.min(FILM_HEIGHT, wide / shape);
    for (const [index, part] of [...this.film.children].entries()) {
      const small = /** @type {HTMLCanvasElement} */ (part.firstElementChild);
      [small.width, small.height] = [Math.round(wide * ratio), Math.round(high * ratio)];
      small.style.width = `${wide}px`;
      /** @type {HTMLElement} */ (part).style.width = `${wide}px`;
      small.style.height = `${high}px`;
      const context = getContext(small);
      context.drawImage(image, 0, 0, small.width, small.height);
      const look = { ...appearance, peak: false };
      if (this.state.eyesClosed) cover(context, small.width, small.height);
      else drawMap(context, small.width, small.height, this.mapOf(index), look, FILM_MAP_SIDE);
    }
    this.viewer.doubt.draw();
  }

  /** Once the photo is there: whoever waits for the word's map can see that it is drawn. */
  markDrawn() {
    this.canvas.dataset.word = String(this.state.drawnIndex);
  }

  /** A long caption in smaller letters, so that what lies below it stays where it is. */
  fitChips() {
    const height = parseFloat(getComputedStyle(this.viewer.find(".caption")).minHeight);
    for (const size of CHIP_SIZES) {
      this.list.style.setProperty("--chip", `${size}px`);
      if (this.list.offsetHeight <= height) return;
    }
  }

  #listen() {
    for (const strip of [this.list, this.film, this.viewer.find(".doubt")]) {
      let place = ""; // of the mouse: a strip that moves under a mouse at rest is not hovered over
      strip.addEventListener("pointermove", (event) => {
        const target = /** @type {Element} */ (event.target);
        const part = /** @type {HTMLElement | null} */ (target.closest("[data-index]"));
        const moved = place !== `${event.clientX} ${event.clientY}`;
        place = `${event.clientX} ${event.clientY}`;
        if (moved && part && event.pointerType === "mouse" && !this.isPlaying) {
          this.peek(Number(part.dataset.index));
        }
      });
      strip.addEventListener("pointerleave", () => this.peek(null));
    }
  }

  #play() {
    const { state } = this;
    if (!state.words.length) return;
    if (state.current === state.words.length - 1) this.goTo(0);
    this.viewer.find(".play").setAttribute("aria-label", this.texts.say("pause"));
    this.viewer.root.dataset.playing = "";
    this.#timer = setInterval(() => {
      this.goTo(state.current + 1, document.activeElement?.parentElement === this.list);
      if (state.current === state.words.length - 1) this.pause();
    }, STEP_MS);
  }

  /** @param {Word} word @param {number} index */
  #chip(word, index) {
    const part = document.createElement("span");
    part.setAttribute("role", "option");
    part.dataset.index = String(index);
    part.dataset.percent = this.texts.percent(word.probability);
    showShares(part, word);
    part.textContent = word.text;
    if (wasRead(word)) part.append(Object.assign(document.createElement("i"), { className: "mark" }));
    part.setAttribute("aria-label", chipLabel(word, this.state.isStrange, this.texts));
    part.toggleAttribute("data-unknown", !word.known);
    return part;
  }

  /** @param {Word} word @param {number} index */
  #thumbnail(word, index) {
    const part = document.createElement("button");
    part.type = "button";
    part.dataset.index = String(index);
    part.setAttribute("aria-label", this.texts.say("thumb", { word: word.text, place: index + 1 }));
    const name = document.createElement("span");
    name.textContent = word.text;
    part.append(document.createElement("canvas"), name);
    return part;
  }

  /** @param {HTMLElement} part @param {boolean} focus */
  #markCurrent(part, focus) {
    const chosen = Number(part.dataset.index) === this.state.current;
    const inList = part.parentElement === this.list;
    part.tabIndex = chosen ? 0 : -1;
    part.setAttribute(inList ? "aria-selected" : "aria-current", String(chosen));
    if (!chosen) return;
    if (!inList) scrollIntoFilm(this.film, part);
    else if (focus) part.focus();
  }

  /** @param {number | null} index */
  #markPeeked(index = null) {
    for (const part of this.list.children) {
      const place = Number(/** @type {HTMLElement} */ (part).dataset.index);
      part.toggleAttribute("data-peeked", place === index);
    }
  }

  /** @param {Word} word @param {RegionMap} map */
  #mapLabel(word, map) {
    const best = peakOf(map);
    const values = { word: word.text, place: this.texts.placeName(best, [map.rows, map.cols]) };
    if (!this.state.drawnOcclusion) return this.texts.say("map_for", values);
    return this.texts.say(map.cells[best] > 0 ? "map_importance_for" : "map_importance_nowhere", values);
  }

  /** @param {number[]} target */
  #fadeTo(target) {
    cancelAnimationFrame(this.#frame);
    this.canvas.removeAttribute("data-word");
    const from = this.#drawn?.length === target.length ? this.#drawn : null;
    const start = performance.now();
    /** @param {number} now */
    const mix = (now) => {
      const share = from && !this.viewer.prefersStillness ? Math.min(1, (now - start) / FADE_MS) : 1;
      this.#drawn = from && share < 1 ? blend(from, target, share) : target;
      this.draw();
      if (share < 1) this.#frame = requestAnimationFrame(mix);
      else if (this.state.image) this.markDrawn();
    };
    mix(start);
  }
}

/** @param {HTMLCanvasElement} canvas */
export function getContext(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/**
 * A line of a bar list: a word, a number, and a bar as long as the number.
 * @param {string} text
 * @param {number} share
 * @param {string} number
 * @param {string | null} label of a button; null: it is none
 * @param {string} [note] in small letters
 */
export function bar(text, share, number, label, note = "") {
  const button = document.createElement(label === null ? "div" : "button");
  const [name, value, line, small] = ["span", "b", "i", "small"].map((tag) => document.createElement(tag));
  name.textContent = text;
  name.lang = "en";
  value.textContent = number;
  small.textContent = note;
  line.style.width = `${100 * Math.min(1, share)}%`;
  button.append(name, value, line, ...(note ? [small] : []));
  if (label !== null) {
    button.setAttribute("type", "button");
    button.setAttribute("aria-label", label);
  }
  const item = document.createElement("li");
  item.append(button);
  return Object.assign(item, { button });
}

/** The page does not move. @param {HTMLElement} film @param {HTMLElement} part */
function scrollIntoFilm(film, part) {
  const [left, right] = [part.offsetLeft, part.offsetLeft + part.offsetWidth];
  if (left < film.scrollLeft || right > film.scrollLeft + film.clientWidth) {
    film.scrollLeft = left - (film.clientWidth - part.offsetWidth) / 2;
  }
}
