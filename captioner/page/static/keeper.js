// Nothing is lost: brings the photo and its caption back, after a reload from what the browser kept,
// and to a server that has forgotten the photo. Decides what the page opens with.

import { readLink } from "./links.js";
import { Memory, storyOf } from "./memory.js";
import { draw, toJpeg } from "./photo_file.js";

const NOTE_MS = 100; // a held key steps faster

export class Keeper {
  #memory = new Memory();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.state = viewer.state;
  }

  /** Follow links that are opened while the page is there. @param {AbortSignal} signal that ends it */
  listen(signal) {
    const follow = () => {
      if (!this.viewer.intake.examples.length) return; // `open` does
      const trouble = this.#followLink();
      if (trouble) this.viewer.showTrouble(trouble);
    };
    window.addEventListener("hashchange", follow, { signal });
  }

  /** Show what the page's address names; else what was kept; else the first example. */
  async open() {
    const { intake } = this.viewer;
    const trouble = this.#followLink();
    if (trouble === null) return;
    const kept = await this.#memory.recall();
    if (this.state.phase !== "empty") return; // the visitor was faster
    const [example] = intake.examples;
    if (!this.#restore(kept) && example) intake.showExample(example);
    if (trouble) this.viewer.showTrouble(trouble);
  }

  /** Keep the photo that is shown, now that there is a caption of it. */
  keep() {
    const { photo: file, example } = this.viewer.intake;
    const { photoId, name } = this.state;
    if (!file && !example) return;
    const photo = { of: String(photoId), name, file, example: example?.id ?? null };
    void this.#memory.keep(photo, storyOf(this.state));
  }

  /** Something of what is shown has changed. */
  note() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.state.phase === "done") void this.#memory.keepStory(storyOf(this.state));
    }, NOTE_MS);
  }

  async forget() {
    this.viewer.intake.photo = null;
    this.viewer.receive({});
    await this.#memory.forget();
    this.viewer.exporter.report(this.viewer.texts.say("memory_forgotten"));
  }

  /** Send the photo again, to a server that has forgotten it. */
  async resend() {
    const { state, viewer } = this;
    const { turn, image, name } = state;
    const path = await viewer.intake.upload(viewer.intake.photo ?? (await toFile(image, name)));
    if (turn !== state.turn) return; // another photo has come
    state.photoId = path;
    if (state.phase === "done") this.keep();
  }

  /** Show what was kept. @param {{photo: import("./memory.js").KeptPhoto, story: import("./memory.js").Story} | null} kept */
  #restore(kept) {
    try {
      return kept !== null && this.viewer.intake.restore(kept.photo, kept.story);
    } catch {
      void this.#memory.forget(); // or the page would fail at each reload
      return false;
    }
  }

  /**
   * Show the example that the page's address names. The address is cleared: what comes after counts
   * at a reload.
   * @returns null if it did; else why not, for the visitor, or "" if it names none
   */
  #followLink() {
    const { texts, intake, captions, stepper } = this.viewer;
    const link = readLink(location.hash);
    if (link === null) return "";
    history.replaceState(null, "", location.pathname + location.search);
    if (!link) return texts.say("link_malformed");
    const example = intake.examples.find(({ id }) => id === link.example);
    if (!example) return texts.say("link_unknown");
    intake.showExample(example);
    const caption = example.captions.find((found) => found.caption === link.words);
    if (link.words && !caption) captions.scoreLinked(link.words, link.current);
    if (!caption) return null;
    captions.show(caption, texts.say("link_origin"), ["search"]);
    stepper.goTo(link.current);
    return null;
  }
}

/** A photo as it is seen, as a file. @param {HTMLImageElement | null} image @param {string} name */
async function toFile(image, name) {
  if (!image) throw new Error("there is no photo to send");
  const photo = await toJpeg(draw(image, [image.naturalWidth, image.naturalHeight]));
  return new File([photo], name, { type: photo.type });
}
