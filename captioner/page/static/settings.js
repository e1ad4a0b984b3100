// The form of settings: which captions are wanted, and how they are found.

const SETTLE_MS = 300;

export class Settings {
  #seed = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #settling;

  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.form = /** @type {HTMLFormElement} */ (viewer.find(".settings form"));
    this.sliders = /** @type {HTMLInputElement[]} */ ([...this.form.querySelectorAll("input[type=range]")]);
    this.form.addEventListener("input", () => this.#changed());
    this.form.addEventListener("reset", () => setTimeout(() => this.#changed()));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.#show();
  }

  /** Whether the model's usual captions are wanted. */
  get areDefaults() {
    return this.#method === "search" && this.sliders.every((slider) => slider.value === slider.defaultValue);
  }

  /** For the server. It refuses options of the method that is not chosen, such as a top p. */
  options() {
    const wanted = this.sliders.filter((slider) => [undefined, this.#method].includes(methodOf(slider)));
    const options = Object.fromEntries(wanted.map((slider) => [slider.name, Number(slider.value)]));
    return this.#method === "sampling" ? { ...options, seed: this.#seed } : options;
  }

  sampleAgain() {
    this.#seed += 1;
    this.viewer.captions.find();
  }

  get #method() {
    return String(new FormData(this.form).get("method"));
  }

  #show() {
    for (const slider of this.sliders) {
      const label = /** @type {HTMLElement} */ (slider.closest("label"));
      label.hidden = ![undefined, this.#method].includes(methodOf(slider));
      const number = /** @type {HTMLElement} */ (label.querySelector("b"));
      number.textContent = this.viewer.texts.plain.format(Number(slider.value));
    }
    this.viewer.find(".again").hidden = this.#method !== "sampling";
  }

  #changed() {
    this.#show();
    if (!this.viewer.state.shown) return;
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.viewer.captions.find(), SETTLE_MS);
  }
}

/** The method that a setting belongs to, if not to all. @param {HTMLInputElement} slider */
function methodOf(slider) {
  return /** @type {HTMLElement} */ (slider.closest("label")).dataset.method;
}
