// Doubt: how uncertain the model was at each word, as a line below the film.

/** @typedef {import("./types.js").Word} Word */
/** @typedef {import("./texts.js").Texts} Texts */

const HEIGHT = 40;
const MARGIN = 5;
const LEAST_TOP = Math.log(10); // nats: less doubt is not drawn as if it were much

/** As many equally likely words leave as much doubt as this entropy. @param {number} entropy in nats */
export function wordsTorn(entropy) {
  const count = Math.exp(entropy);
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(count)) - 1);
  return Math.round(count / unit) * unit;
}

/** @param {number} entropy @param {Texts} texts */
export function describeDoubt(entropy, texts) {
  const count = wordsTorn(entropy);
  return count < 2 ? texts.say("torn_hardly") : texts.say("torn", { count: texts.plain.format(count) });
}

/**
 * The heights of the line's points: from the bottom, no doubt, to the top.
 * @param {number[]} entropies
 */
export function doubtHeights(entropies) {
  const top = Math.max(LEAST_TOP, ...entropies);
  return entropies.map((entropy) => HEIGHT - MARGIN - (entropy / top) * (HEIGHT - 2 * MARGIN));
}

export class Doubt {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.state = viewer.state;
    this.texts = viewer.texts;
    this.line = viewer.find(".doubt");
    const film = viewer.find(".film");
    film.addEventListener("scroll", () => (this.line.scrollLeft = film.scrollLeft));
  }

  /** Draw the line, each word's point below its picture. */
  draw() {
    const entropies = this.state.words.map(({ entropy }) => entropy ?? NaN);
    const film = this.viewer.find(".film");
    if (entropies.some(Number.isNaN) || !film.children.length) {
      this.line.replaceChildren();
      return;
    }
    const parts = /** @type {HTMLElement[]} */ ([...film.children]);
    const heights = doubtHeights(entropies);
    const points = parts.map((part, i) => [part.offsetLeft + part.offsetWidth / 2, heights[i]]);
    const svg = create("svg", { width: film.scrollWidth, height: HEIGHT, "aria-hidden": "true" });
    svg.append(create("polyline", { points: points.join(" ") }));
    points.forEach(([x, y], index) => {
      const target = create("g", { "data-index": index });
      const part = parts[index];
      target.append(
        create("rect", { x: part.offsetLeft, y: 0, width: part.offsetWidth, height: HEIGHT }),
        create("circle", { cx: x, cy: y, r: 2.5 }),
      );
      svg.append(target);
    });
    const said = this.state.words.map(({ text }, i) => `${text} ${this.texts.plain.format(wordsTorn(entropies[i]))}`);
    this.line.setAttribute("aria-label", this.texts.say("doubt", { words: said.join(", ") }));
    this.line.replaceChildren(svg);
    this.line.scrollLeft = film.scrollLeft;
    this.mark();
  }

  /** Mark the word that is drawn, and say how uncertain the model was. */
  mark() {
    const { drawnIndex, words } = this.state;
    const { entropy } = words[drawnIndex];
    for (const part of this.line.querySelectorAll("g")) {
      part.toggleAttribute("data-current", part.dataset.index === String(drawnIndex));
    }
    const said = typeof entropy === "number" ? describeDoubt(entropy, this.texts) : "";
    this.viewer.find(".torn").textContent = said;
  }
}

/** @param {string} name @param {Record<string, string | number>} attributes */
function create(name, attributes) {
  const part = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, String(value));
  return part;
}
