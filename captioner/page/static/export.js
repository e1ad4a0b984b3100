// Export: text to the clipboard, and files of what is on the screen, made here.

import { drawMap } from "./drawing.js";
import { getContext } from "./stepping.js";

const SHEET_COLUMNS = 4;
const SHEET_CELL = 320;
const SHEET_LINE = 34;
const SHEET_GAP = 12;
const REVOKE_MS = 10_000;

/** A name for a file, from the photo's: letters, digits, dashes. @param {string} name @param {string} ending */
export function fileName(name, ending) {
  const stem = name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "-").slice(0, 60);
  return `${stem || "photo"}-${ending}`;
}

/** HTML of a photo with its caption as alternative text. @param {string} name @param {string} caption */
export function altSnippet(name, caption) {
  return `<img src="${escape(encodeURIComponent(name || "photo.jpg"))}" alt="${escape(caption)}">`;
}

/** @param {string} text */
function escape(text) {
  /** @type {Record<string, string>} */
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (letter) => entities[letter]);
}

/**
 * Break a text into lines.
 * @param {string} text
 * @param {number} width
 * @param {(text: string) => number} measure gives a text's width
 */
export function wrapText(text, width, measure) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines[lines.length - 1]} ${word}`.trim();
    if (measure(longer) <= width || !lines[lines.length - 1]) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

export class Exporter {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.state = viewer.state;
    this.texts = viewer.texts;
    this.snippet = /** @type {HTMLTextAreaElement} */ (viewer.find(".snippet"));
    /** @type {Record<string, () => void>} */
    this.actions = {
      copy: () => this.copy(this.#caption.caption),
      alt: () => this.#copyAlt(),
      png: () => this.#savePicture(),
      sheet: () => this.#saveSheet(),
      gif: () => this.#saveAnimation(),
      json: () => this.#saveData(),
    };
  }

  clear() {
    this.snippet.hidden = true;
    this.viewer.find(".exported").textContent = "";
  }

  get #caption() {
    if (!this.state.shown) throw new Error("there is no caption to export");
    return this.state.shown.caption;
  }

  get #image() {
    if (!this.state.image) throw new Error("there is no photo to export");
    return this.state.image;
  }

  /** @param {string} ending */
  fileName(ending) {
    return fileName(this.state.name, ending);
  }

  /** @param {string} text */
  report(text) {
    this.viewer.find(".exported").textContent = text;
    this.viewer.announce(text);
  }

  /** @param {string} text */
  async copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      this.report(this.texts.say("copied"));
    } catch {
      // No permission to write to the clipboard, as in some frames: the visitor does it.
      this.snippet.value = text;
      this.snippet.hidden = false;
      this.snippet.focus();
      this.snippet.select();
      this.report(this.texts.say("copy_by_hand"));
    }
  }

  #copyAlt() {
    this.snippet.value = altSnippet(this.state.name, this.#caption.caption);
    this.snippet.hidden = false;
    void this.copy(this.snippet.value);
  }

  /** @param {Blob} blob @param {string} file */
  save(blob, file) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_MS);
    this.report(this.texts.say("saved", { name: file }));
  }

  /** @param {HTMLCanvasElement} drawn @param {string} file */
  #saveCanvas(drawn, file) {
    drawn.toBlob((blob) => {
      if (blob) this.save(blob, file);
      else this.report(this.texts.say("unread_photo"));
    }, "image/png");
  }

  #savePicture() {
    const { naturalWidth, naturalHeight } = this.#image;
    const drawn = this.#overlay(this.state.current, naturalWidth, naturalHeight);
    this.#saveCanvas(drawn, this.fileName(`${this.state.current + 1}.png`));
  }

  /** The photo, with a word's map unless index is null. @param {number | null} index @param {number} width @param {number} height */
  #overlay(index, width, height) {
    const drawn = document.createElement("canvas");
    [drawn.width, drawn.height] = [width, height];
    const context = getContext(drawn);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#image, 0, 0, width, height);
    if (index !== null) drawMap(context, width, height, this.viewer.stepper.mapOf(index), this.state.appearance);
    return drawn;
  }

  /** The photo and all words' maps on one sheet, in the colours chosen, under the caption. */
  #saveSheet() {
    const { naturalWidth, naturalHeight } = this.#image;
    const { words } = this.state;
    const fit = SHEET_CELL / Math.max(naturalWidth, naturalHeight);
    const [wide, high] = [naturalWidth * fit, naturalHeight * fit].map(Math.round);
    const columns = Math.min(SHEET_COLUMNS, words.length + 1);
    const drawn = document.createElement("canvas");
    const context = getContext(drawn);
    context.font = "bold 20px sans-serif";
    drawn.width = columns * (wide + SHEET_GAP) + SHEET_GAP;
    const measure = (/** @type {string} */ text) => context.measureText(text).width;
    const lines = wrapText(this.#caption.caption, drawn.width - 2 * SHEET_GAP, measure);
    const top = SHEET_GAP + lines.length * 28 + SHEET_GAP;
    drawn.height = top + Math.ceil((words.length + 1) / columns) * (high + SHEET_LINE);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, drawn.width, drawn.height);
    context.fillStyle = "#18181b";
    context.textBaseline = "top";
    context.font = "bold 20px sans-serif";
    lines.forEach((line, i) => context.fillText(line, SHEET_GAP, SHEET_GAP + i * 28));
    context.font = "16px sans-serif";
    [null, ...words.keys()].forEach((index, place) => {
      const x = SHEET_GAP + (place % columns) * (wide + SHEET_GAP);
      const y = top + Math.floor(place / columns) * (high + SHEET_LINE);
      context.drawImage(this.#overlay(index, wide, high), x, y);
      if (index === null) return;
      const text = `${words[index].text}  ${this.texts.percent(words[index].probability)}`;
      context.fillText(text, x, y + high + 6, wide);
    });
    this.#saveCanvas(drawn, this.fileName("sheet.png"));
  }

  #saveData() {
    const data = { photo: this.state.name, ...this.#caption, occlusion: this.state.shown?.occlusion ?? undefined };
    const blob = new Blob([JSON.stringify(data, null, 1)], { type: "application/json" });
    this.save(blob, this.fileName("caption.json"));
  }

  #saveAnimation() {
    const file = this.fileName("words.gif");
    const { palette, opacity } = this.state.appearance;
    this.report(this.texts.say("drawing"));
    /** @param {{animation: {url: string}}} answer */
    const done = async ({ animation }) => {
      const response = await fetch(animation.url).catch(() => null);
      if (response?.ok) this.save(await response.blob(), file);
      else this.report(this.texts.say("unsaved", { name: file }));
    };
    const data = { caption: this.#caption, colours: palette, opacity };
    this.viewer.request("animation", data, done, (message) => this.report(message));
  }
}
