// Gestures on the photo: holding it shows it without the map, a swipe steps. A click is not one.

const HOLD_MS = 350;
const SWIPE = 40; // pixels across
const STILL = 8; // pixels that a finger or mouse at rest may move
const KEY = "p";

/**
 * The step that a movement makes: 1 to the next word, -1 to the one before, 0 for none.
 * @param {number} across @param {number} down both in pixels
 */
export function stepOf(across, down) {
  if (Math.abs(across) < SWIPE || Math.abs(across) < 1.5 * Math.abs(down)) return 0;
  return across < 0 ? 1 : -1;
}

export class Gestures {
  /** Where the finger or mouse went down. @type {{x: number, y: number, touch: boolean} | null} */
  #start = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** Whether the click that follows belongs to a gesture. */
  #isGesture = false;

  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    const stage = viewer.find(".stage");
    stage.addEventListener("pointerdown", (event) => this.#begin(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    stage.addEventListener("pointerup", (event) => this.#end(event));
    for (const name of ["pointercancel", "pointerleave", "blur"]) stage.addEventListener(name, () => this.#cancel());
    stage.addEventListener("contextmenu", (event) => {
      if (this.#start?.touch) event.preventDefault(); // of a long press
    });
    stage.addEventListener("keydown", ({ key, repeat, ctrlKey, metaKey, altKey }) => {
      if (key.toLowerCase() === KEY && !(repeat || ctrlKey || metaKey || altKey)) this.#showBare(true);
    });
    stage.addEventListener("keyup", ({ key }) => {
      if (key.toLowerCase() === KEY) this.#showBare(false);
    });
    // Before the region query, which listens to clicks as they come back from the canvas.
    stage.addEventListener("click", (event) => this.#takeClick(event), { capture: true });
  }

  /** @param {PointerEvent} event */
  #begin({ clientX, clientY, pointerType, isPrimary, button }) {
    this.#cancel();
    this.#isGesture = false;
    if (!isPrimary || button !== 0 || !this.viewer.state.words.length) return;
    this.#start = { x: clientX, y: clientY, touch: pointerType === "touch" };
    this.#timer = setTimeout(() => {
      this.#isGesture = true;
      this.#showBare(true);
    }, HOLD_MS);
  }

  /** @param {PointerEvent} event */
  #move({ clientX, clientY }) {
    if (!this.#start || this.viewer.state.isBare) return;
    if (Math.hypot(clientX - this.#start.x, clientY - this.#start.y) > STILL) clearTimeout(this.#timer);
  }

  /** @param {PointerEvent} event */
  #end({ clientX, clientY }) {
    const start = this.#start;
    const held = this.viewer.state.isBare;
    this.#cancel();
    if (!start?.touch || held) return;
    const by = stepOf(clientX - start.x, clientY - start.y);
    if (!by) return;
    this.#isGesture = true;
    this.viewer.stepper.step(by);
  }

  #cancel() {
    clearTimeout(this.#timer);
    this.#start = null;
    if (this.viewer.state.isBare) this.#showBare(false);
  }

  /** @param {MouseEvent} event */
  #takeClick(event) {
    if (!this.#isGesture) return;
    this.#isGesture = false;
    event.stopPropagation();
  }

  /** @param {boolean} bare */
  #showBare(bare) {
    this.viewer.state.isBare = bare;
    this.viewer.stepper.draw();
  }
}
