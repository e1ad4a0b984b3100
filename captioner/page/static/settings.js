// The form of settings: which captions are wanted, and how they are found.

const SETTLE_MS = 300;

/** @typedef {Record<string, number>} Values of settings, by name */

/**
 * Settings that agree with the one that was changed last: no minimum above the maximum, no more
 * captions than the beam gives, no diversity of one caption.
 * @param {Values} values
 * @param {string} changed
 * @returns {Values}
 */
export function reconcile(values, changed) {
  const agreed = { ...values };
  /** @param {string} low @param {string} high */
  const order = (low, high) => {
    if (agreed[low] <= agreed[high]) return;
    if (changed === high) agreed[low] = agreed[high];
    else agreed[high] = agreed[low];
  };
  order("min_length", "max_length");
  if (agreed.num_captions === 1) agreed.diversity = 0;
  if (agreed.diversity === 0) order("num_captions", "beam_size"); // else each caption has a beam of its own
  return agreed;
}

export class Settings {
  #seed = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #settling;

  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.form = /** @type {HTMLFormElement} */ (viewer.find(".settings form"));
    this.sliders = /** @type {HTMLInputElement[]} */ ([...this.form.querySelectorAll("input[type=range]")]);
    this.form.addEventListener("input", (event) => {
      this.#reconcile(/** @type {HTMLInputElement} */ (event.target).name);
      this.#changed();
    });
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

  /** Go back to the model's usual captions, for another photo; whether that changed anything. */
  restore() {
    clearTimeout(this.#settling);
    if (this.areDefaults) return false;
    for (const part of /** @type {Iterable<HTMLInputElement>} */ (this.form.querySelectorAll("input"))) {
      part.value = part.defaultValue;
      part.checked = part.defaultChecked;
    }
    this.#show();
    return true;
  }

  /** What chooses the words of a caption that is found now. @returns {import("./state.js").Chooser} */
  get chooser() {
    return this.#method === "search" ? "search" : "sampling";
  }

  sampleAgain() {
    this.#seed += 1;
    this.viewer.captions.find();
  }

  get #method() {
    return String(new FormData(this.form).get("method"));
  }

  /** @param {string} changed */
  #reconcile(changed) {
    const values = Object.fromEntries(this.sliders.map(({ name, value }) => [name, Number(value)]));
    const agreed = reconcile(values, changed);
    for (const slider of this.sliders) slider.value = String(agreed[slider.name]);
  }

  #show() {
    for (const slider of this.sliders) {
      const label = /** @type {HTMLElement} */ (slider.closest("label"));
      label.hidden = ![undefined, this.#method].includes(methodOf(slider));
      const number = /** @type {HTMLElement} */ (label.querySelector("b"));
      number.textContent = this.viewer.texts.plain.format(Number(slider.value));
    }
    const [count, diversity] = ["num_captions", "diversity"].map((name) => this.sliders.find((slider) => slider.name === name));
    if (diversity) diversity.disabled = count?.value === "1";
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
