// Where photos come from: chosen, dropped, pasted, taken with the camera, or an example.

import { Camera } from "./camera.js";
import { UploadError, isHeic, shrink, upload } from "./photo_file.js";

/**
 * What the page around the viewer offers: Gradio's server, which takes photos.
 * @typedef {object} Server
 * @property {string} api the address below which Gradio's routes are
 * @property {number} maxBytes of a photo
 * @property {string} examples path of a JSON file, a list of Example
 * @property {<T>(work: () => Promise<T>) => Promise<T>} persist does what needs the server, again
 *   when it is back if it was away
 */

/**
 * @typedef {object} Example
 * @property {string} id
 * @property {"right" | "wrong"} group whether the model captions the photo more or less correctly
 * @property {string} author
 * @property {string} licence
 * @property {string} source an address
 * @property {string} of path of the photo
 * @property {string} thumbnail path of a small copy of it
 * @property {import("./types.js").Caption[]} captions
 */

/** After which the same photo may be sent again with more success. */
const PASSING = ["fault", "gone", "queue_full", "too_slow", "no_answer", "upload_busy", "upload_offline"];
const EXAMPLES_TRIES = 60;
const EXAMPLES_WAIT_MS = 500;
const GROUPS = ["right", "wrong"];
const MEGABYTE = 1024 * 1024;

export class Intake {
  /** @type {Server | null} */
  server = null;
  /** @type {Example[]} */
  examples = [];
  /** The visitor's photo as it was sent, to send it again. @type {File | null} */
  photo = null;
  /** The example that is shown. @type {Example | null} */
  example = null;
  /** A message to the visitor about the photo, besides where its caption comes from. */
  note = "";
  #shown = "";
  #isHeic = false;

  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.camera = new Camera(viewer, (photo) => void this.accept(photo));
    this.file = viewer.findInput(".file");
    this.file.addEventListener("change", () => {
      const files = [...(this.file.files ?? [])];
      this.file.value = ""; // the same file may be chosen again
      if (files.length) this.#takeFirst(files);
    });
  }

  /** Take photos from now on, and show what the page opens with. @param {Server} server */
  async connect(server) {
    this.server = server;
    this.viewer.find(".intake").hidden = false;
    this.camera.offer();
    this.examples = await readExamples(this.urlOf(server.examples));
    const groups = GROUPS.map((name) => this.#group(name));
    this.viewer.find(".examples").replaceChildren(...groups);
    await this.viewer.keeper.open();
  }

  /** The address of a file on the server. @param {string} path */
  urlOf(path) {
    return `${this.server?.api}/file=${encodeURI(path)}`;
  }

  choose() {
    this.file.click();
  }

  /** @param {Example} example */
  showExample(example, chosen = false) {
    this.photo = null;
    this.note = "";
    const { of, captions } = example;
    const name = of.slice(of.lastIndexOf("/") + 1);
    this.#credit(example);
    this.viewer.receive({ of, name, photo: { url: this.urlOf(of) }, captions, example: true, chosen });
  }

  /**
   * Show again what the browser kept.
   * @param {import("./memory.js").KeptPhoto} photo
   * @param {import("./memory.js").Story} story
   * @returns whether it could be shown
   */
  restore({ of, name, file, example }, story) {
    const found = this.examples.find(({ id }) => id === example) ?? null;
    if (!file && !found) return false;
    this.photo = file;
    if (file) this.#shown = URL.createObjectURL(file);
    this.#credit(found);
    const url = found ? this.urlOf(found.of) : this.#shown;
    this.viewer.restore({ of: found?.of ?? of, name, photo: { url } }, story);
    return true;
  }

  /** Caption a photo. @param {File} file @param {string} [note] for the visitor, about this photo */
  async accept(file, note = "") {
    const { viewer } = this;
    this.#credit(null);
    viewer.receive({ looking: true, of: null, name: file.name });
    this.note = note;
    const { turn } = viewer.state;
    const start = file.slice(0, 12).arrayBuffer();
    const [photo, bytes] = await Promise.all([shrink(file), start.catch(() => new ArrayBuffer(0))]);
    if (turn !== viewer.state.turn) return; // another photo has come
    URL.revokeObjectURL(this.#shown);
    this.#shown = URL.createObjectURL(photo);
    this.#isHeic = isHeic(new Uint8Array(bytes));
    this.photo = photo;
    await this.send();
  }

  /** Send the visitor's photo, for the first time or again. */
  async send() {
    const { viewer, server, photo } = this;
    if (!server || !photo) return;
    viewer.receive({ looking: true, of: this.#shown, name: photo.name, photo: { url: this.#shown } });
    viewer.bringIntoView();
    const { turn } = viewer.state;
    try {
      if (photo.size > server.maxBytes) throw new UploadError(this.#isHeic ? "heic" : "upload_too_large");
      const path = await this.upload(photo);
      if (turn !== viewer.state.turn) return;
      viewer.state.photoId = path;
      viewer.requestView();
    } catch (error) {
      const code = error instanceof UploadError ? error.message : "no_answer";
      const values = { limit: Math.floor(server.maxBytes / MEGABYTE) };
      if (turn === viewer.state.turn) viewer.receiveFailure({ code, values, message: "" });
    }
  }

  /** Send a photo, and again if the server was away. @param {File} photo @returns its path there */
  async upload(photo) {
    const { server } = this;
    if (!server) throw new UploadError("no_answer");
    return server.persist(() => upload(`${server.api}/upload`, photo));
  }

  /** What an error about the photo is, seen from here. @param {import("./types.js").ErrorData} error */
  diagnose(error) {
    return error.code === "format" && this.photo && this.#isHeic ? { ...error, code: "heic" } : error;
  }

  /** Whether sending the photo again may help. @param {import("./types.js").ErrorData} error */
  mayHelpToResend({ code }) {
    return this.photo !== null && PASSING.includes(code);
  }

  /** Take what is dropped or pasted anywhere on the page. @param {AbortSignal} signal that ends it */
  listen(signal) {
    const veil = this.viewer.find(".drop-here");
    /** @param {DragEvent} event */
    const over = (event) => {
      if (isTextInField(event)) return;
      event.preventDefault(); // so that it may be dropped
      veil.togglePopover(hasFiles(event));
    };
    /** @param {DragEvent} event */
    const leave = ({ relatedTarget }) => {
      if (relatedTarget === null) veil.hidePopover(); // it left the page
    };
    /** @param {DragEvent} event */
    const drop = (event) => {
      veil.hidePopover();
      if (isTextInField(event)) return;
      event.preventDefault(); // or the browser would leave the page for what was dropped
      this.#takeDropped(event.dataTransfer);
    };
    /** @param {ClipboardEvent} event */
    const paste = (event) => {
      if (isField(event.target)) return;
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) this.#takeFirst(files);
      else this.viewer.showTrouble(this.viewer.texts.say("intake_nothing_pasted"));
    };
    document.addEventListener("dragover", over, { signal });
    document.addEventListener("dragleave", leave, { signal });
    document.addEventListener("drop", drop, { signal });
    document.addEventListener("paste", paste, { signal });
  }

  /** @param {DataTransfer | null} data */
  #takeDropped(data) {
    const { texts } = this.viewer;
    const files = [...(data?.files ?? [])];
    if (data?.items[0]?.webkitGetAsEntry()?.isDirectory) this.viewer.showTrouble(texts.say("intake_folder"));
    else if (files.length) this.#takeFirst(files);
    else this.viewer.showTrouble(texts.say("intake_no_file"));
  }

  /** What is certainly no photo leaves the photo that is there. @param {File[]} files */
  #takeFirst([file, ...others]) {
    const { texts } = this.viewer;
    const values = { name: file.name, count: others.length + 1 };
    if (file.type && !file.type.startsWith("image/")) this.viewer.showTrouble(texts.say("intake_no_photo", values));
    else void this.accept(file, others.length ? texts.say("intake_first", values) : "");
  }

  /** @param {string} name */
  #group(name) {
    const heading = document.createElement("p");
    heading.textContent = this.viewer.texts.say(`examples_${name}`);
    heading.id = this.viewer.idOf(`examples-${name}`);
    const row = document.createElement("div");
    row.append(...this.examples.filter(({ group }) => group === name).map((example) => this.#button(example)));
    const group = document.createElement("div");
    group.setAttribute("role", "group");
    group.setAttribute("aria-labelledby", heading.id);
    group.append(heading, row);
    return group;
  }

  /** @param {Example} example */
  #button(example) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.example = example.id;
    const picture = document.createElement("img");
    picture.src = this.urlOf(example.thumbnail);
    picture.alt = button.title = this.viewer.texts.say(`example_${example.id}`);
    button.append(picture);
    button.addEventListener("click", () => {
      this.showExample(example, true);
      this.viewer.bringIntoView();
    });
    return button;
  }

  /** Say below the stage whose photo it is. @param {Example | null} example */
  #credit(example) {
    this.example = example;
    const line = this.viewer.find(".credit");
    line.replaceChildren();
    for (const button of this.viewer.host.querySelectorAll("[data-example]")) {
      const { dataset } = /** @type {HTMLElement} */ (button);
      button.setAttribute("aria-pressed", String(dataset.example === example?.id));
    }
    if (!example) return;
    const link = document.createElement("a");
    [link.href, link.target, link.rel] = [example.source, "_blank", "noopener"];
    link.textContent = example.author;
    const licence = example.licence.startsWith("CC") ? example.licence : this.viewer.texts.say("credit_public_domain");
    line.append(this.viewer.texts.say("credit"), " ", link, `, ${licence}`);
  }
}

/**
 * The examples; a server that has just started is still captioning them.
 * @param {string} address
 * @returns {Promise<Example[]>} none where they cannot be had
 */
async function readExamples(address) {
  for (let tries = 0; tries < EXAMPLES_TRIES; tries += 1) {
    const response = await fetch(address).catch(() => null);
    if (response?.ok) return response.json();
    await new Promise((resolve) => setTimeout(resolve, EXAMPLES_WAIT_MS));
  }
  return [];
}

/** @param {DragEvent} event */
function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/** Whether a browser puts in a text field what is dropped on it. @param {DragEvent} event */
function isTextInField(event) {
  return isField(event.target) && !hasFiles(event);
}

/** @param {EventTarget | null} target */
function isField(target) {
  return target instanceof Element && target.closest("input[type=text], textarea, [contenteditable]") !== null;
}
