// The viewer, <caption-viewer>: a photo, its caption word by word, and where the model looked.
//
// It has one property, `value`, what there is to show (ViewerValue in types.js), and fires one kind
// of event, `request`, whose `detail` is a request to the server; an answer comes as a value.
// Words and names come from outside: they reach the page through textContent alone.

import { Candidates } from "./candidates.js";
import { Captions } from "./captions.js";
import { Compare } from "./compare.js";
import { Doubt } from "./doubt.js";
import { Exporter } from "./export.js";
import { Gestures } from "./gestures.js";
import { Eyes } from "./eyes.js";
import { Importance } from "./importance.js";
import { Intake } from "./intake.js";
import { Keeper } from "./keeper.js";
import { Live } from "./live.js";
import { readOwn } from "./own.js";
import { RegionQuery } from "./region_query.js";
import { Requests } from "./requests.js";
import { Settings } from "./settings.js";
import { Sharing } from "./share.js";
import { ViewerState } from "./state.js";
import { Stepper } from "./stepping.js";
import { Tabs } from "./tabs.js";
import { Texts, chooseLanguage } from "./texts.js";
import { Tour } from "./tour.js";
import { Tree } from "./tree.js";
import { WordPanel } from "./word_panel.js";

/** @typedef {import("./types.js").ErrorData} ErrorData */
/** @typedef {import("./types.js").ViewerValue} ViewerValue */

const LANGUAGE = chooseLanguage(navigator.language);
const STYLES = ["viewer", "intake", "evidence", "word", "panels", "live", "tree", "compare", "tour", "keeping"]; // a later one wins
const [MARKUP, TABLE, ...RULES] = await Promise.all([
  readOwn("./viewer.html"),
  readOwn(`../locales/${LANGUAGE}.json`),
  ...STYLES.map((name) => readOwn(`./${name}.css`)),
]);
export const TEXTS = new Texts(LANGUAGE, JSON.parse(TABLE));
const STYLE_SHEET = new CSSStyleSheet();
STYLE_SHEET.replaceSync(RULES.join("\n"));

/** All parts of one viewer, and what they share. */
export class Viewer {
  state = new ViewerState();
  texts = TEXTS;
  /** Of the photo that is shown, or will be. */
  #photoUrl = "";
  /** The photo that was sent once more before it was captioned. */
  #resentTurn = 0;

  static #count = 0;
  /** Among the viewers of the page. */
  #number = (Viewer.#count += 1);

  /**
   * @param {HTMLElement} host holds the viewer's markup
   * @param {(request: object) => void} send
   */
  constructor(host, send) {
    this.host = host;
    this.root = this.find(".viewer");
    this.stillness = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.#fillTexts();
    this.send = send;
    this.requests = new Requests({
      send,
      turn: () => this.state.turn,
      onBusy: (busy) => this.root.toggleAttribute("data-busy", busy),
      onWaiting: (waiting) => {
        this.find(".origin").textContent = this.texts.placeInLine(waiting);
      },
    });
    this.keeper = new Keeper(this);
    this.sharing = new Sharing(this);
    this.tabs = new Tabs(this);
    this.intake = new Intake(this);
    this.importance = new Importance(this);
    this.eyes = new Eyes(this);
    this.candidates = new Candidates(this);
    this.doubt = new Doubt(this);
    this.wordPanel = new WordPanel(this);
    this.stepper = new Stepper(this);
    this.regions = new RegionQuery(this);
    this.gestures = new Gestures(this);
    this.captions = new Captions(this);
    this.live = new Live(this);
    this.settings = new Settings(this);
    this.tree = new Tree(this);
    this.compare = new Compare(this);
    this.tour = new Tour(this);
    this.exporter = new Exporter(this);
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

  /** An id that no other viewer on the page has. @param {string} name */
  idOf(name) {
    return `viewer-${this.#number}-${name}`;
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
  request(kind, data, done, failed = (message) => this.showTrouble(message), isResent = false) {
    const about = { photo: this.state.photoId, ...data };
    this.requests.send(kind, about, done, (error) => {
      const fail = () => failed(this.texts.explain(error));
      if (error.code !== "gone" || isResent) fail();
      else this.#resend(() => this.request(kind, data, done, failed, true), fail);
    });
  }

  /** Send the photo again. What follows is left out if another one has come. @param {() => void} done @param {() => void} failed */
  #resend(done, failed) {
    const { turn } = this.state;
    const unlessGone = (/** @type {() => void} */ act) => () => turn === this.state.turn && act();
    this.keeper.resend().then(unlessGone(done), unlessGone(failed));
  }

  /** Send for the captions of the photo, which come as a value. */
  requestView() {
    this.send({ kind: "view", photo: this.state.photoId });
  }

  /** The photo did not reach the server, or no caption came back. @param {ErrorData} error */
  receiveFailure(error = { code: "no_answer", values: {}, message: "" }) {
    this.#receiveError({ of: this.state.photoId }, error);
  }

  /** Say that something did not work. What is on the page stays. @param {string} message */
  showTrouble(message) {
    this.find(".origin").textContent = message;
    this.find(".story").dataset.trouble = "";
    this.announce(message);
  }

  /** @param {ViewerValue} value */
  receive(value) {
    const { texts } = this;
    if (value.answer) {
      this.requests.receive({ ...value.answer, animation: value.animation ?? undefined });
    } else if (value.captions) this.#receiveCaptions(value, value.captions);
    else if (value.error) this.#receiveError(value, value.error);
    else if (value.lost !== undefined) this.#receiveLoss(value.lost);
    else if (value.waiting) this.#receiveWaiting(value, texts.placeInLine(value.waiting));
    else if (value.looking) this.#showMessage("looking", texts.say("looking"), texts.say("looking"), value);
    else this.#showMessage("empty", texts.say("empty_lead"), texts.say("empty_photo"), {});
  }

  /** Draw the maps as they are wanted now. */
  showAppearance() {
    const { appearance, words } = this.state;
    this.root.dataset.palette = appearance.palette;
    if (!words.length) return;
    this.keeper.note();
    if (appearance.source === "importance") this.importance.measure();
    this.stepper.showWord();
    this.stepper.drawFilm();
    this.compare.draw();
  }

  /** On a low screen the stage may lie below the examples. */
  bringIntoView() {
    const { top, bottom } = this.find(".stage").getBoundingClientRect();
    if (top >= 0 && bottom <= window.innerHeight) return;
    this.find(".above").scrollIntoView({ behavior: this.prefersStillness ? "auto" : "smooth", block: "start" });
  }

  /** Whether there are words to step through. @param {boolean} possible */
  setStepping(possible) {
    for (const name of [".transport", ".look", ".eyes"]) {
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

  /** Show again what the browser kept. @param {ViewerValue} value @param {import("./memory.js").Story} story */
  restore(value, { captions, finder, shown, history, current, appearance }) {
    this.#startPhoto("done", value);
    Object.assign(this.state, { captions, finder, shown, history, current });
    this.#restoreAppearance(appearance);
    this.captions.showAll();
    this.showAppearance();
    this.#setCaptioned(this.state.words.length > 0);
    this.keeper.keep();
  }

  /** What is no choice any more stays as it is. @param {Record<string, any>} appearance */
  #restoreAppearance(appearance) {
    for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (this.host.querySelectorAll(".look input"))) {
      const { name, type, value } = input;
      const wanted = appearance[name];
      if (type === "range" ? typeof wanted !== "number" : value !== wanted) continue;
      if (type === "range") input.value = String(100 * wanted);
      else input.checked = true;
      this.state.changeAppearance({ [name]: wanted });
    }
  }

  /** @param {boolean} isLost whether the server is */
  #receiveLoss(isLost) {
    this.find(".lost span").textContent = isLost ? this.texts.say("health_lost") : "";
    this.requests.hold(isLost);
  }

  /** @param {ViewerValue} value @param {ErrorData} error */
  #receiveError(value, error) {
    const { state, texts } = this;
    const late = (value.of ?? state.photoId) !== state.photoId; // of a photo that has gone since
    if (late || state.phase === "done") return; // an example is there without the server
    if (error.code === "gone" && this.#resentTurn !== state.turn) {
      this.#resentTurn = state.turn;
      this.#resend(() => this.requestView(), () => this.receiveFailure());
      return;
    }
    const message = texts.explain(this.intake.diagnose(error));
    const photo = this.#photoUrl ? { url: this.#photoUrl } : null; // it may not be loaded yet
    this.#showMessage("failed", texts.say("no_caption"), message, { of: state.photoId, photo });
    this.find(".retry").hidden = !this.intake.mayHelpToResend(error);
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
    const isNew = value.chosen || state.phase === "looking";
    const kept = same && state.captions.length ? state.captions : found; // an example chosen again
    const notes = [this.intake.note, this.settings.restore() ? this.texts.say("origin_reset") : ""];
    this.#startPhoto("done", value);
    state.captions = kept;
    const origin = [this.texts.say("origin_own"), ...notes].join(" ").trim();
    this.captions.show(found[0], origin, ["search"]);
    this.#setCaptioned(state.words.length > 0);
    this.keeper.keep();
    if (!value.example) this.stepper.goTo(state.current, this.#mayMoveFocus());
    if (isNew) this.live.start();
  }

  /**
   * @param {import("./state.js").Phase} phase
   * @param {string} lead
   * @param {string} message
   * @param {ViewerValue} value
   */
  #showMessage(phase, lead, message, value) {
    this.#startPhoto(phase, value);
    const { list, film, canvas } = this.stepper;
    list.hidden = true;
    list.replaceChildren();
    film.replaceChildren();
    this.find(".lead").textContent = lead;
    this.find(".message").textContent = message;
    for (const part of [".count", ".origin"]) this.find(part).textContent = "";
    for (const part of [".undo", ".restore", ".retry"]) this.find(part).hidden = true;
    delete this.find(".story").dataset.trouble;
    this.setStepping(false);
    this.#setCaptioned(false);
    this.captions.showOthers();
    canvas.setAttribute("aria-label", this.texts.say(phase === "looking" ? "your_photo" : "empty_photo"));
    this.announce(phase === "empty" ? "" : message);
    this.stepper.draw();
  }

  /** @param {import("./state.js").Phase} phase @param {ViewerValue} value */
  #startPhoto(phase, { of, photo, name = this.state.name }) {
    this.stepper.pause();
    this.regions.close();
    const isSame = Boolean(of) && of === this.state.photoId;
    const image = isSame ? this.state.image : null;
    this.#photoUrl = photo?.url ?? (isSame ? this.#photoUrl : "");
    this.state.startPhoto(phase, of, name);
    this.state.image = image; // the browser had the photo before the server
    this.root.dataset.state = phase;
    this.stepper.clear();
    this.exporter.clear();
    this.tree.clear();
    this.compare.clear();
    this.tour.end();
    this.sharing.offer();
    this.captions.judge(phase === "done" || phase === "empty" ? this.texts.say("own_note") : "");
    if (photo && !image) this.#loadPhoto(photo.url);
  }

  /** Whether nobody is at another place: then the arrow keys may step at once. */
  #mayMoveFocus() {
    const { activeElement } = document;
    return activeElement === document.body || (activeElement?.closest(".intake, .notice, dialog") ?? null) !== null;
  }

  /** Whether there is a caption to export, and a photo to try other words on. @param {boolean} captioned */
  #setCaptioned(captioned) {
    const parts = this.host.querySelectorAll(".export fieldset, .own .field > *");
    for (const part of parts) /** @type {HTMLInputElement} */ (part).disabled = !captioned;
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
      this.compare.draw();
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
    this.host.addEventListener("keydown", (event) => this.takeKey(event));
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
    choose: () => this.intake.choose(),
    camera: () => void this.intake.camera.open(),
    retry: () => void this.intake.send(),
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
    link: () => this.sharing.copyLink(),
    page: () => void this.sharing.savePage(),
    forget: () => void this.keeper.forget(),
  };

  /** @param {KeyboardEvent} event */
  takeKey(event) {
    const { stepper, state } = this;
    if (!state.words.length || event.altKey || event.ctrlKey || event.metaKey) return;
    const { key } = event;
    const target = /** @type {Element} */ (event.target);
    if (target.closest("input, select, textarea, summary, dialog")) return;
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
      stepper.goTo(places[key], target === document.body || target.closest("[role=option]") !== null);
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
  /** Ends the listening to the page around the element. @type {AbortController | null} */
  #listening = null;

  get value() {
    return this.#value;
  }

  set value(value) {
    this.#value = value;
    this.#viewer?.receive(value ?? {});
  }

  /** Let the viewer take photos, and keys that are pressed while nothing on the page has the focus.
   * @param {import("./intake.js").Server} server */
  connect(server) {
    void this.#viewer?.intake.connect(server);
    this.#listen();
  }

  #listen() {
    const viewer = this.#viewer;
    if (!viewer?.intake.server) return;
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    const takeKey = (/** @type {KeyboardEvent} */ event) => {
      if (event.target === document.body && event.key.startsWith("Arrow")) viewer.takeKey(event);
    };
    document.addEventListener("keydown", takeKey, { signal });
    viewer.intake.listen(signal);
    viewer.keeper.listen(signal);
  }

  connectedCallback() {
    if (this.#viewer) {
      this.#listen(); // it was moved to another place
      return;
    }
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
    this.#viewer?.live.end();
    this.#viewer?.tour.end();
    this.#viewer?.intake.camera.close();
    this.#listening?.abort();
  }
}

customElements.define("caption-viewer", CaptionViewerElement);
