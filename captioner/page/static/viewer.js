// The viewer, <caption-viewer>: a photo, its caption word by word, and where the model looked.
//
// It has one property, `value`, what there is to show (ViewerValue in types.js), and fires one kind
// of event, `request`, whose `detail` is what it wants of the server; an answer comes as a value.
// Words and names come from outside: they reach the page through textContent alone.

import { Captions } from "./captions.js";
import { Exporter } from "./export.js";
import { Importance } from "./importance.js";
import { RegionQuery } from "./region_query.js";
import { Requests } from "./requests.js";
import { Settings } from "./settings.js";
import { ViewerState } from "./state.js";
import { Stepper } from "./stepping.js";
import { Texts, chooseLanguage } from "./texts.js";

/** @typedef {import("./types.js").ViewerValue} ViewerValue */

const LANGUAGE = chooseLanguage(navigator.language);
const [MARKUP, STYLE, TABLE] = await Promise.all([
  fetchOwn("./viewer.html").then((response) => response.text()),
  fetchOwn("./viewer.css").then((response) => response.text()),
  fetchOwn(`../locales/${LANGUAGE}.json`).then((response) => response.json()),
]);
const STYLE_SHEET = new CSSStyleSheet();
STYLE_SHEET.replaceSync(STYLE);

/** @param {string} name of a file beside this one */
function fetchOwn(name) {
  return fetch(new URL(name, import.meta.url));
}

/** All parts of one viewer, and what they share. */
export class Viewer {
  state = new ViewerState();
  texts = new Texts(LANGUAGE, TABLE);

  /**
   * @param {HTMLElement} host holds the viewer's markup
   * @param {(request: object) => void} send
   */
  constructor(host, send) {
    this.host = host;
    this.root = this.find(".viewer");
    this.stillness = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.requests = new Requests({
      send,
      turn: () => this.state.turn,
      onBusy: (busy) => this.root.toggleAttribute("data-busy", busy),
      onWaiting: (waiting) => {
        this.find(".origin").textContent = this.texts.placeInLine(waiting);
      },
    });
    this.importance = new Importance(this);
    this.stepper = new Stepper(this);
    this.regions = new RegionQuery(this);
    this.captions = new Captions(this);
    this.settings = new Settings(this);
    this.exporter = new Exporter(this);
    this.#fillTexts();
    this.#listen();
    this.showAppearance();
  }

  get prefersStillness() {
    return this.stillness.matches;
  }

  /** @param {string} selector @returns {HTMLElement} */
  find(selector) {
    return /** @type {HTMLElement} */ (this.host.querySelector(selector));
  }

  /** @param {string} selector */
  findInput(selector) {
    return /** @type {HTMLInputElement} */ (this.find(selector));
  }

  /** Tell screen readers. @param {string} text */
  announce(text) {
    this.find(".announcer").textContent = text;
  }

  /**
   * Send a request to the server about the photo.
   * @param {string} kind
   * @param {object} data
   * @param {(answer: any) => void} done
   * @param {(message: string) => void} [failed]
   */
  request(kind, data, done, failed = (message) => this.#showTrouble(message)) {
    this.requests.send(kind, data, done, (error) => failed(this.texts.explain(error)));
  }

  /** @param {ViewerValue} value */
  receive(value) {
    const { texts } = this;
    if (value.answer) {
      this.requests.receive({ ...value.answer, animation: value.animation ?? undefined });
    } else if (value.captions) this.#receiveCaptions(value, value.captions);
    else if (value.error) this.#receiveError(value, texts.explain(value.error));
    else if (value.waiting) this.#receiveWaiting(value, texts.placeInLine(value.waiting));
    else if (value.looking) this.#showMessage("looking", texts.say("looking"), texts.say("looking"), value);
    else this.#showMessage("empty", texts.say("empty_lead"), texts.say("empty_photo"), {});
  }

  /** Draw the maps as they are wanted now. */
  showAppearance() {
    const { appearance, words } = this.state;
    this.root.dataset.palette = appearance.palette;
    this.find(".most").textContent = this.texts.say(
      appearance.source === "importance" ? "more_importance" : "more_attention",
    );
    if (!words.length) return;
    if (appearance.source === "importance") this.importance.measure();
    this.stepper.showWord();
    this.stepper.drawFilm();
  }

  /** Whether there are words to step through. @param {boolean} possible */
  setStepping(possible) {
    for (const name of [".transport", ".look"]) {
      /** @type {HTMLFieldSetElement} */ (this.find(name)).disabled = !possible;
    }
    this.find(".stage").tabIndex = possible ? 0 : -1;
  }

  /** The page has another size. */
  resize() {
    this.stepper.draw();
    this.stepper.drawFilm();
    this.stepper.fitChips();
  }

  /** @param {string} message */
  #showTrouble(message) {
    this.find(".origin").textContent = message;
    this.find(".story").dataset.trouble = "";
    this.announce(message);
  }

  /** @param {ViewerValue} value @param {string} message */
  #receiveError(value, message) {
    const { state } = this;
    const late = (value.of ?? state.photoId) !== state.photoId; // of a photo that has gone since
    if (late || state.phase === "done") return; // an example is there without the server
    this.#showMessage("failed", this.texts.say("no_caption"), message, { of: state.photoId });
  }

  /** @param {ViewerValue} value @param {string} message */
  #receiveWaiting(value, message) {
    if (value.of !== this.state.photoId || this.state.phase !== "looking") return;
    this.find(".message").textContent = message;
    this.announce(message);
  }

  /** @param {ViewerValue} value @param {import("./types.js").Caption[]} found */
  #receiveCaptions(value, found) {
    const { state } = this;
    const same = value.of === state.photoId;
    if (!value.example && !same) return; // of a photo that has gone since
    if (state.phase === "done" && same && !value.example) {
      if (state.captions.length < found.length && this.settings.areDefaults) state.captions = found;
      this.captions.showOthers();
      return;
    }
    const kept = same && state.captions.length ? state.captions : found; // an example chosen again
    this.#startPhoto("done", value);
    state.captions = kept;
    this.captions.show(found[0], this.texts.say("origin_own"));
    this.#setCaptioned(state.words.length > 0);
    this.#bringIntoView();
    if (!this.settings.areDefaults) this.captions.find();
  }

  /**
   * @param {import("./state.js").Phase} phase
   * @param {string} lead
   * @param {string} message
   * @param {ViewerValue} value
   */
  #showMessage(phase, lead, message, value) {
    this.#startPhoto(phase, value);
    const { list, film, slider, canvas } = this.stepper;
    list.hidden = true;
    list.replaceChildren();
    film.replaceChildren();
    this.find(".lead").textContent = lead;
    this.find(".message").textContent = message;
    for (const part of [".count", ".origin", ".unsure"]) this.find(part).textContent = "";
    for (const part of [".undo", ".restore"]) this.find(part).hidden = true;
    this.setStepping(false);
    slider.max = slider.value = "1";
    this.#setCaptioned(false);
    this.captions.showOthers();
    canvas.setAttribute("aria-label", this.texts.say(phase === "looking" ? "your_photo" : "empty_photo"));
    this.announce(phase === "empty" ? "" : message);
    this.stepper.draw();
    if (phase === "looking") this.#bringIntoView();
  }

  /** @param {import("./state.js").Phase} phase @param {ViewerValue} value */
  #startPhoto(phase, { of, photo, name }) {
    this.stepper.pause();
    this.regions.close();
    this.state.startPhoto(phase, of, name);
    this.root.dataset.state = phase;
    this.stepper.clear();
    this.exporter.clear();
    this.captions.judge(phase === "done" || phase === "empty" ? this.texts.say("own_note") : "");
    if (photo) this.#loadPhoto(photo.url);
  }

  /** Whether there is a caption to export, and a photo to try other words on. @param {boolean} captioned */
  #setCaptioned(captioned) {
    const parts = this.host.querySelectorAll(".export fieldset, .own .field > *");
    for (const part of parts) /** @type {HTMLInputElement} */ (part).disabled = !captioned;
  }

  /** On a phone the viewer lies below the photo and the examples. */
  #bringIntoView() {
    if (this.root.getBoundingClientRect().top < window.innerHeight / 3) return;
    this.root.scrollIntoView({ behavior: this.prefersStillness ? "auto" : "smooth", block: "start" });
  }

  /** @param {string} url */
  #loadPhoto(url) {
    const { state } = this;
    const { turn } = state;
    const photo = new Image();
    photo.onload = () => {
      if (turn !== state.turn) return;
      state.image = photo;
      this.stepper.draw();
      this.stepper.drawFilm();
      if (state.words.length) this.stepper.markDrawn();
    };
    photo.src = url;
  }

  #fillTexts() {
    this.root.lang = LANGUAGE;
    for (const part of this.host.querySelectorAll("[data-text], [data-label], [data-placeholder]")) {
      const { text, label, placeholder } = /** @type {HTMLElement} */ (part).dataset;
      if (text) part.textContent = this.texts.say(text);
      if (label) part.setAttribute("aria-label", this.texts.say(label));
      if (placeholder) part.setAttribute("placeholder", this.texts.say(placeholder));
    }
  }

  #listen() {
    this.host.addEventListener("click", (event) => this.#takeClick(/** @type {Element} */ (event.target)));
    this.host.addEventListener("keydown", (event) => this.#takeKey(event));
    this.find(".look").addEventListener("input", (event) => {
      const { name, type, value } = /** @type {HTMLInputElement} */ (event.target);
      this.state.changeAppearance({ [name]: type === "range" ? Number(value) / 100 : value });
      this.showAppearance();
    });
  }

  /** @param {Element} target */
  #takeClick(target) {
    const part = /** @type {HTMLElement | null} */ (
      target.closest("[data-index], [data-alternative], [data-caption], [data-export], [data-action]")
    );
    if (!part) return;
    const { index, alternative, caption, action } = part.dataset;
    if (action) this.#actions[action]();
    else if (alternative !== undefined) this.captions.branch(alternative);
    else if (caption !== undefined) this.captions.choose(Number(caption));
    else if (part.dataset.export) this.exporter.actions[part.dataset.export]();
    else if (index !== undefined) {
      this.stepper.pause();
      this.stepper.goTo(Number(index), true);
    }
  }

  /** By the `data-action` of a button. @type {Record<string, () => void>} */
  #actions = {
    previous: () => this.stepper.step(-1),
    next: () => this.stepper.step(1),
    play: () => this.stepper.togglePlaying(),
    undo: () => this.captions.undo(1),
    restore: () => this.captions.undo(this.state.history.length),
    close: () => {
      this.regions.close();
      this.find(".stage").focus();
    },
    again: () => this.settings.sampleAgain(),
  };

  /** @param {KeyboardEvent} event */
  #takeKey(event) {
    const { stepper, state } = this;
    if (!state.words.length || event.altKey || event.ctrlKey || event.metaKey) return;
    const { key } = event;
    const target = /** @type {Element} */ (event.target);
    if (target !== stepper.slider && target.closest("input, textarea, summary")) return;
    if (target === stepper.slider && key !== " ") return; // it steps by itself
    /** @type {Record<string, number>} */
    const places = {
      ArrowLeft: state.current - 1,
      ArrowRight: state.current + 1,
      Home: 0,
      End: state.words.length - 1,
    };
    if (target === stepper.stage && this.regions.takeKey(key)) event.preventDefault();
    else if (key === "Escape" && state.region !== null) this.regions.close();
    else if (key in places) {
      stepper.pause();
      stepper.goTo(places[key], target.closest("[role=option]") !== null);
      event.preventDefault();
    } else if (key === " " && !target.closest("button")) {
      stepper.togglePlaying();
      event.preventDefault();
    }
  }
}

/** The element: gives a Viewer its place, its value, and a way to send requests. */
export class CaptionViewerElement extends HTMLElement {
  /** @type {Viewer | null} */
  #viewer = null;
  /** @type {ViewerValue | null} */
  #value = null;

  get value() {
    return this.#value;
  }

  set value(value) {
    this.#value = value;
    this.#viewer?.receive(value ?? {});
  }

  connectedCallback() {
    if (this.#viewer) return;
    if (!document.adoptedStyleSheets.includes(STYLE_SHEET)) document.adoptedStyleSheets.push(STYLE_SHEET);
    this.innerHTML = MARKUP; // the file beside this one: nothing in it comes from outside
    const send = (/** @type {object} */ detail) => this.dispatchEvent(new CustomEvent("request", { detail }));
    const viewer = new Viewer(this, send);
    this.#viewer = viewer;
    new ResizeObserver(() => viewer.resize()).observe(viewer.stepper.stage);
    // What was set before the element was defined is an ordinary property, in the way of this one.
    const early = Object.getOwnPropertyDescriptor(this, "value")?.value;
    delete (/** @type {any} */ (this).value);
    this.value = early ?? this.#value;
  }

  disconnectedCallback() {
    this.#viewer?.stepper.pause();
  }
}

customElements.define("caption-viewer", CaptionViewerElement);
