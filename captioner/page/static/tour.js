// A tour of the viewer in five steps: offered, never in the way, and there again from a button.

/**
 * @typedef {object} Stop
 * @property {string} title key of a text
 * @property {string} text key of another
 * @property {string} at selector of what it is about
 * @property {string} [tab] to open for it
 */

/** @type {Stop[]} */
const STOPS = [
  { title: "tour_words_title", text: "tour_words_text", at: ".words" },
  { title: "tour_map_title", text: "tour_map_text", at: ".stage canvas" },
  { title: "tour_candidates_title", text: "tour_candidates_text", at: ".alternatives", tab: "word" },
  { title: "tour_region_title", text: "tour_region_text", at: ".stage canvas" },
  { title: "tour_photo_title", text: "tour_photo_text", at: ".intake .choose" },
];
const GAP = 14; // pixels between a callout and what it is about
const TALL = 0.4; // of the window: a callout about something taller lies on it
const TAKEN = "caption-viewer-tour"; // in the browser's storage, once the tour has been taken

/**
 * Where a callout goes: below what it is about, above it where there is no room below, or on a tall
 * thing, at its foot.
 * @param {{top: number, bottom: number}} target in the window
 * @param {number} height of the callout
 * @param {number} room height of the window
 * @returns {["below" | "above" | "on", number]} the side, and the callout's top
 */
export function placeCallout({ top, bottom }, height, room) {
  if (bottom - top > TALL * room) return ["on", bottom - GAP - height];
  const above = top - GAP - height;
  if (bottom + GAP + height > room && above >= 0) return ["above", above];
  return ["below", bottom + GAP];
}

export class Tour {
  /** Ends the tour under way. @type {AbortController | null} */
  #underWay = null;
  /** Those of which there is something to see. @type {Stop[]} */
  #stops = [];
  #place = 0;
  #observer = new ResizeObserver(() => this.#stand());

  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.texts = viewer.texts;
    this.button = viewer.find(".tour-button");
    this.callout = viewer.find(".tour");
    this.ring = viewer.find(".tour-ring");
    this.button.addEventListener("click", () => this.start());
    for (const [part, by] of Object.entries({ ".back": -1, ".onward": 1 })) {
      viewer.find(`.tour ${part}`).addEventListener("click", () => this.#goTo(this.#place + by));
    }
    viewer.find(".tour .leave").addEventListener("click", () => this.end());
    this.callout.addEventListener("keydown", (event) => this.#takeKey(event));
    this.#offer();
  }

  start() {
    const { viewer } = this;
    this.end();
    this.#stops = STOPS.filter(({ at, tab }) => tab || viewer.find(at).checkVisibility());
    this.#underWay = new AbortController();
    const escape = (/** @type {KeyboardEvent} */ { key }) => {
      if (key === "Escape") this.end();
    };
    document.addEventListener("keydown", escape, { signal: this.#underWay.signal });
    remember();
    this.#offer();
    this.ring.hidden = this.callout.hidden = false;
    this.#goTo(0);
  }

  end() {
    if (!this.#underWay) return;
    const hadFocus = this.callout.contains(document.activeElement);
    this.#underWay.abort();
    this.#underWay = null;
    this.#observer.disconnect();
    this.ring.hidden = this.callout.hidden = true;
    if (hadFocus) this.button.focus();
  }

  /** @param {number} place past the last one the tour ends */
  #goTo(place) {
    const { viewer, texts } = this;
    const stop = this.#stops[place];
    if (place === this.#stops.length) this.end();
    if (!stop) return;
    this.#place = place;
    viewer.regions.close(); // it takes the place of the candidates
    if (stop.tab) viewer.tabs.open(stop.tab);
    const [title, text] = [stop.title, stop.text].map((key) => texts.say(key));
    const count = texts.say("tour_of", { place: place + 1, count: this.#stops.length });
    for (const [part, said] of Object.entries({ ".tour-count": count, h2: title, ".says": text })) {
      viewer.find(`.tour ${part}`).textContent = said;
    }
    this.callout.setAttribute("aria-label", `${count}: ${title}`);
    viewer.find(".tour .back").hidden = place === 0;
    const last = place === this.#stops.length - 1;
    viewer.find(".tour .onward").textContent = texts.say(last ? "tour_done" : "tour_next");
    const target = viewer.find(stop.at);
    this.#observer.disconnect();
    for (const part of [viewer.root, target]) this.#observer.observe(part); // calls #stand, too
    this.#stand();
    const behavior = viewer.prefersStillness ? "auto" : "smooth";
    for (const part of [target, this.callout]) part.scrollIntoView({ behavior, block: "nearest" });
    this.callout.focus({ preventScroll: true });
    viewer.announce(text);
  }

  /** Put the callout and the ring where they belong. */
  #stand() {
    const { root } = this.viewer;
    const at = this.viewer.find(this.#stops[this.#place].at).getBoundingClientRect();
    const { left, top, width } = root.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.callout;
    const [side, y] = placeCallout(at, offsetHeight, window.innerHeight);
    const centre = at.left - left + at.width / 2;
    const x = Math.max(0, Math.min(width - offsetWidth, centre - offsetWidth / 2));
    this.callout.dataset.side = side;
    this.callout.style.setProperty("--tip", `${centre - x}px`);
    Object.assign(this.callout.style, { left: `${x}px`, top: `${y - top}px` });
    const edges = { left: at.left - left, top: at.top - top, width: at.width, height: at.height };
    for (const [name, value] of Object.entries(edges)) this.ring.style.setProperty(name, `${value}px`);
  }

  /** @param {KeyboardEvent} event */
  #takeKey(event) {
    /** @type {Record<string, number>} */
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key !== "Escape") event.stopPropagation(); // or it would step through the caption
    if (event.key in moves) this.#goTo(this.#place + moves[event.key]);
  }

  /** The first time, the button says what it is for. */
  #offer() {
    const { texts, button } = this;
    const isNew = !isRemembered();
    button.textContent = isNew ? texts.say("tour_offer") : "?";
    button.toggleAttribute("data-new", isNew);
    button.setAttribute("aria-label", texts.say("tour_offer"));
    button.title = texts.say("tour_offer");
  }
}

/** A browser may refuse to keep anything. */
function isRemembered() {
  try {
    return localStorage.getItem(TAKEN) !== null;
  } catch {
    return false;
  }
}

function remember() {
  try {
    localStorage.setItem(TAKEN, "1");
  } catch {
    // The tour is offered again next time.
  }
}
