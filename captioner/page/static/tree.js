// The beam tree: the sentences that the search weighed at each word, and what became of them.

import { NODE_HEIGHT, layOut, moveInTree, pathTo, shownPath } from "./tree_layout.js";

/** @typedef {import("./types.js").Candidate} Candidate */
/** @typedef {import("./tree_layout.js").Place} Place */

const COLUMN_WIDTHS = [126, 160]; // least, and most where there is room
const MARGINS = 26; // pixels of the scroller beside the columns
const SVG = "http://www.w3.org/2000/svg";

export class Tree {
  /** @type {Candidate[][]} */
  #steps = [];
  /** Of which photo and settings. */
  #key = "";

  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.texts = viewer.texts;
    this.panel = viewer.find("[data-panel=tree]");
    this.view = viewer.find(".tree-view");
    this.scroller = viewer.find(".tree-scroll");
    this.sheet = viewer.find(".tree-sheet");
    this.large = /** @type {HTMLDialogElement} */ (viewer.find(".tree-large"));
    this.#listen();
  }

  /** Show the tree of the photo and the settings in force, once its tab is open. */
  update() {
    const { state, settings, texts } = this.viewer;
    if (this.panel.hidden || !state.shown) return;
    const options = settings.options();
    const key = `${state.turn} ${JSON.stringify(options)}`;
    if (key === this.#key) {
      this.#markShown();
      return;
    }
    this.clear();
    this.#key = key;
    if ("temperature" in options) {
      this.#say(texts.say("tree_sampling"));
      return;
    }
    this.#say(texts.say("tree_loading"));
    const failed = (/** @type {string} */ message) => {
      this.clear(); // to be tried again
      this.#say(message);
    };
    this.viewer.request("tree", { options }, ({ tree }) => this.#show(tree.steps), failed);
  }

  clear() {
    this.#key = "";
    this.#steps = [];
    this.large.close();
    this.view.hidden = true;
    this.sheet.replaceChildren();
    this.#say("");
  }

  /** @param {string} text in place of the tree */
  #say(text) {
    this.viewer.find(".tree-message").textContent = text;
  }

  /** @param {Candidate[][]} steps */
  #show(steps) {
    this.#steps = steps;
    this.#say("");
    this.view.hidden = false;
    const winner = steps.flatMap((candidates) => candidates.filter(({ best }) => best).map(({ text }) => text));
    const kept = Math.max(...steps.map((candidates) => candidates.filter((candidate) => candidate.kept).length));
    this.viewer.find(".tree-summary").textContent = this.texts.say("tree_summary", { kept });
    this.sheet.setAttribute("aria-label", this.texts.say("tree_label", { caption: winner.join(" ").trim() }));
    this.#draw();
  }

  #draw() {
    const [least, most] = COLUMN_WIDTHS;
    const room = (this.scroller.clientWidth - MARGINS) / this.#steps.length;
    const layout = layOut(this.#steps, Math.max(least, Math.min(most, room)));
    const { width, height, nodes } = layout;
    const picture = document.createElementNS(SVG, "svg");
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.setAttribute("aria-hidden", "true");
    for (const fate of ["dropped", "kept", "best"]) {
      for (const { path, width: thickness, candidate } of layout.ribbons) {
        if (fateOf(candidate) !== fate) continue;
        const ribbon = document.createElementNS(SVG, "path");
        ribbon.setAttribute("d", path);
        ribbon.setAttribute("stroke-width", String(thickness));
        ribbon.dataset.fate = fate;
        picture.append(ribbon);
      }
    }
    const start = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ width: 4, height: NODE_HEIGHT, rx: 2 })) {
      start.setAttribute(name, String(value));
    }
    picture.append(start);
    Object.assign(this.sheet.style, { width: `${width}px`, height: `${height}px` });
    const buttons = nodes.flatMap((column, step) => column.map((node, row) => this.#node({ step, row }, node)));
    this.sheet.replaceChildren(picture, ...buttons);
    this.#markShown();
  }

  /** @param {Place} place @param {import("./tree_layout.js").Node} node */
  #node(place, { x, y, width }) {
    const candidate = this.#steps[place.step][place.row];
    const { texts } = this;
    const percent = texts.percent(candidate.probability);
    const fate = fateOf(candidate);
    const button = document.createElement("button");
    button.type = "button";
    Object.assign(button.dataset, { fate, node: `${place.step} ${place.row}` });
    button.toggleAttribute("data-ended", candidate.ended);
    Object.assign(button.style, { left: `${x}px`, top: `${y}px`, width: `${width}px` });
    const [name, number] = ["span", "b"].map((tag) => document.createElement(tag));
    name.textContent = candidate.ended ? texts.say("tree_end") : candidate.text;
    number.textContent = candidate.probability < 0.01 ? `<${texts.wholePercent.format(0.01)}` : percent;
    button.append(name, number);
    const values = { place: place.step + 1, word: name.textContent, percent, fate: texts.say(`tree_${fate}`) };
    button.setAttribute("aria-label", texts.say("tree_node", values));
    button.title = pathTo(this.#steps, place).join(" ");
    return button;
  }

  /** Mark the words of the caption shown; the tab key leads to the current one. */
  #markShown() {
    const { state } = this.viewer;
    const path = shownPath(this.#steps, state.words.map(({ text }) => text));
    const current = Math.max(0, Math.min(state.current, path.length - 1));
    for (const button of this.#buttons) {
      const [step, row] = placeOf(button);
      button.toggleAttribute("data-shown", path[step] === row);
      const isCurrent = step === current && row === (path[current] ?? 0);
      button.tabIndex = isCurrent ? 0 : -1;
      if (isCurrent) this.scroller.scrollLeft = button.offsetLeft - (this.scroller.clientWidth - button.offsetWidth) / 2;
    }
  }

  get #buttons() {
    return /** @type {NodeListOf<HTMLElement>} */ (this.sheet.querySelectorAll("[data-node]"));
  }

  /** Go to a word of the caption shown, or continue a caption from another. @param {Place} place */
  #take(place) {
    const { captions, state, stepper } = this.viewer;
    const { ended } = this.#steps[place.step][place.row];
    const words = pathTo(this.#steps, place).slice(0, ended ? -1 : undefined);
    const isShown = shownPath(this.#steps, state.words.map(({ text }) => text))[place.step] === place.row;
    this.large.close();
    if (isShown) stepper.goTo(words.length - 1, true);
    else if (ended) captions.finishAs(words, ["search"]);
    else captions.continueFrom(words);
  }

  #listen() {
    this.panel.addEventListener("open", () => {
      this.update();
      if (this.#steps.length) this.#draw(); // its width is known only now
    });
    this.sheet.addEventListener("click", (event) => {
      const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[data-node]"));
      if (!button) return;
      const [step, row] = placeOf(button);
      this.#take({ step, row });
    });
    this.sheet.addEventListener("keydown", (event) => {
      if (!event.key.startsWith("Arrow")) return;
      const [step, row] = placeOf(/** @type {HTMLElement} */ (event.target));
      const next = moveInTree(this.#steps, { step, row }, event.key);
      event.preventDefault();
      event.stopPropagation(); // or the arrow would step through the caption, too
      if (!next) return;
      for (const button of this.#buttons) {
        const chosen = button.dataset.node === `${next.step} ${next.row}`;
        button.tabIndex = chosen ? 0 : -1;
        if (chosen) button.focus();
      }
    });
    this.viewer.find(".tree-larger").addEventListener("click", () => {
      this.large.append(this.view);
      this.large.showModal();
      this.#draw();
    });
    this.viewer.find(".tree-close").addEventListener("click", () => this.large.close());
    this.large.addEventListener("close", () => {
      this.panel.prepend(this.view);
      this.#draw();
    });
    this.large.addEventListener("keydown", (event) => event.stopPropagation());
  }
}

/** @param {Candidate} candidate @returns {"best" | "kept" | "dropped"} */
function fateOf({ best, kept }) {
  if (best) return "best";
  return kept ? "kept" : "dropped";
}

/** @param {HTMLElement} button */
function placeOf(button) {
  return String(button.dataset.node).split(" ").map(Number);
}
