// Requests to the server, one at a time. Knows no page: what sends them is a function it is given.
//
// An answer counts only if no newer request of its kind waits, and no other photo has come since.

/** @typedef {import("./types.js").Answer} Answer */
/** @typedef {import("./types.js").ErrorData} ErrorData */

/**
 * @typedef {object} Request
 * @property {number} id
 * @property {string} kind
 * @property {object} data
 * @property {number} turn the photo's, see ViewerState
 * @property {(answer: any) => void} done with what the kind of request gets
 * @property {(error: ErrorData) => void} failed
 */

const TIMEOUT_MS = 60_000;
const QUIET_KINDS = ["animation", "occlusion", "tree"]; // which leave the words as they are
const NO_ANSWER = { code: "fault", values: {}, message: "The server did not answer." };

export class Requests {
  /** @type {Request | null} */
  #pending = null;
  /** @type {Request[]} */
  #queue = [];
  #count = 0;
  #isHeld = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {object} owner
   * @param {(request: object) => void} owner.send
   * @param {() => number} owner.turn the current photo's
   * @param {(busy: boolean) => void} owner.onBusy while new words are awaited
   * @param {(waiting: import("./types.js").Waiting) => void} owner.onWaiting with the place in the line
   */
  constructor(owner) {
    this.owner = owner;
  }

  /**
   * Send a request once those before it are answered. It replaces one of its kind that still waits.
   * @param {string} kind
   * @param {object} data
   * @param {(answer: any) => void} done
   * @param {(error: ErrorData) => void} failed
   */
  send(kind, data, done, failed) {
    this.#queue = this.#queue.filter((other) => other.kind !== kind);
    this.#count += 1;
    this.#queue.push({ id: this.#count, kind, data, done, failed, turn: this.owner.turn() });
    if (!this.#pending) this.#sendNext();
  }

  /** Take an answer. One without an id ends the request under way, such as a fault. @param {Answer} answer */
  receive(answer) {
    const request = this.#pending;
    if (!request || (answer.id ?? request.id) !== request.id) return;
    if (answer.waiting) {
      this.#startTimer(request);
      if (request.turn === this.owner.turn()) this.owner.onWaiting(answer.waiting);
      return;
    }
    clearTimeout(this.#timer);
    const newer = this.#queue.some((other) => other.kind === request.kind);
    this.#sendNext();
    if (request.turn !== this.owner.turn() || newer) return;
    if (answer.error) request.failed(answer.error);
    else request.done(answer);
  }

  /** While the server is away nothing ends: what is under way is sent again. @param {boolean} isHeld */
  hold(isHeld) {
    this.#isHeld = isHeld;
    clearTimeout(this.#timer);
    if (this.#pending) this.#startTimer(this.#pending);
  }

  #sendNext() {
    this.#queue = this.#queue.filter(({ turn }) => turn === this.owner.turn());
    this.#pending = this.#queue.shift() ?? null;
    this.owner.onBusy(this.#pending !== null && !QUIET_KINDS.includes(this.#pending.kind));
    if (!this.#pending) return;
    const { id, kind, data } = this.#pending;
    this.#startTimer(this.#pending);
    this.owner.send({ id, kind, ...data });
  }

  /** @param {Request} request */
  #startTimer({ id }) {
    clearTimeout(this.#timer);
    if (this.#isHeld) return;
    this.#timer = setTimeout(() => this.receive({ id, error: NO_ANSWER }), TIMEOUT_MS);
  }
}
