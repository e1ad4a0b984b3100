// Whether the server answers: checked only while an answer is awaited, or after a failure.
// Knows no page and no address: it is given a check, and a callback for changes.

const FIRST_MS = 2000; // most answers have come by then
export const INTERVAL_MS = 3000; // between two checks, at least

export class ServerHealth {
  isLost = false;
  #awaited = 0;
  #checkedAt = -Infinity;
  #isChecking = false;
  /** When the next check is planned. */
  #dueAt = Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {(() => void)[]} */
  #sleepers = [];

  /**
   * @param {object} owner
   * @param {() => Promise<boolean>} owner.check whether the server answers; ends by itself, soon
   * @param {(isLost: boolean) => void} owner.onChange
   * @param {() => boolean} [owner.mayCheck] false while nobody sees the page
   */
  constructor({ check, onChange, mayCheck = () => true }) {
    this.check = check;
    this.onChange = onChange;
    this.mayCheck = mayCheck;
  }

  /**
   * Watch the server as long as something is awaited of it.
   * @template T
   * @param {Promise<T>} awaited
   */
  async during(awaited) {
    this.#awaited += 1;
    this.#plan(FIRST_MS);
    try {
      return await awaited;
    } finally {
      this.#awaited -= 1;
    }
  }

  /** Something failed, or may have changed: check soon. */
  suspect() {
    this.#plan(0);
  }

  /** The page is seen again. */
  resume() {
    if (this.#isWanted) this.#plan(0);
  }

  /** Wait until a check, from now on, finds the server answering. @returns {Promise<void>} */
  answering() {
    this.#plan(0);
    return new Promise((resolve) => this.#sleepers.push(resolve));
  }

  get #isWanted() {
    return this.isLost || this.#awaited > 0 || this.#sleepers.length > 0;
  }

  /** @param {number} delay */
  #plan(delay) {
    if (this.#isChecking) return; // the next one is planned when it ends
    const dueAt = Math.max(Date.now() + delay, this.#checkedAt + INTERVAL_MS);
    if (dueAt >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => void this.#checkNow(), dueAt - Date.now());
  }

  async #checkNow() {
    this.#dueAt = Infinity;
    if (!this.mayCheck()) return; // until `resume`
    this.#isChecking = true;
    this.#checkedAt = Date.now();
    const answers = await this.check();
    this.#isChecking = false;
    if (answers) for (const wake of this.#sleepers.splice(0)) wake();
    if (answers === this.isLost) {
      this.isLost = !answers;
      this.onChange(this.isLost);
    }
    if (this.#isWanted) this.#plan(INTERVAL_MS);
  }
}
