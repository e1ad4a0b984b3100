// Connects the viewer with Gradio's server: sends its photos and its requests, as calls of an event
// in Gradio's queue, and hands it what comes back.
//
// Gradio's own front end would do so too, but stops for good when a connection breaks, says that in
// English, and reloads the page as soon as the server is there again. Here a call whose connection
// breaks is made once more when the server answers, and the page stays as it is.

import { UploadError } from "./photo_file.js";
import { ServerHealth } from "./server_health.js";
import { TEXTS } from "./viewer.js";

/** @typedef {import("./types.js").ErrorData} ErrorData */
/** @typedef {import("./viewer.js").CaptionViewerElement} CaptionViewerElement */

const CHECK_MS = 2500; // for the server to say that it is well
const SILENT_MS = 45_000; // Gradio sends something every 15 s
const MAX_TRIES = 3; // the request itself may be what breaks connections

/** @type {ErrorData} */
const FAULT = { code: "fault", values: {}, message: "The server failed." };
/** @type {ErrorData} */
const BUSY = { code: "queue_full", values: {}, message: "The server is busy." };

/** The server cannot be reached, or the connection broke. */
class UnreachableError extends Error {}

/** @param {unknown} error */
function isUnreachable(error) {
  const codes = ["no_answer", "upload_offline"];
  return error instanceof UnreachableError || (error instanceof UploadError && codes.includes(error.message));
}

/**
 * Let a viewer take photos, and answer its requests.
 * @param {CaptionViewerElement} viewer
 * @param {string} root the page's address
 * @param {string} event that answers the viewer's requests
 * @param {{maxBytes: number, examples: string}} offers see Server
 */
export function connect(viewer, root, event, offers) {
  document.documentElement.lang = TEXTS.language;
  document.title = TEXTS.say("page_title");
  const { dependencies } = /** @type {any} */ (window).gradio_config;
  const isWanted = (/** @type {[number, string]} */ [, name]) => name === event;
  const { id, targets } = dependencies.find((/** @type {any} */ { targets: all }) => all.some(isWanted));
  const take = (/** @type {object} */ value) => {
    viewer.value = value;
  };
  const health = watchHealth(`${root}/healthz`, (lost) => take({ lost }));
  viewer.addEventListener("request", (request) => {
    const { detail } = /** @type {CustomEvent} */ (request);
    const call = { fn_index: id, trigger_id: targets[0][0], event_data: detail, data: [] };
    persist(health, () => callOnce(root, call, take)).catch((reason) => {
      const error = reason.code ? reason : FAULT;
      take(detail.kind === "view" ? { of: detail.photo, error } : { answer: { id: detail.id, error } });
    });
  });
  viewer.connect({ ...offers, api: `${root}/gradio_api`, persist: (work) => persist(health, work) });
}

/** @param {string} address @param {(isLost: boolean) => void} onChange */
function watchHealth(address, onChange) {
  const mayCheck = () => document.visibilityState === "visible";
  const health = new ServerHealth({ check: () => isWell(address), onChange, mayCheck });
  for (const name of ["online", "offline"]) window.addEventListener(name, () => health.suspect());
  document.addEventListener("visibilitychange", () => health.resume());
  return health;
}

/** @param {string} address */
async function isWell(address) {
  try {
    const response = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(CHECK_MS) });
    return response.ok;
  } catch {
    return false;
  }
}

/**
 * Do something that needs the server; again when it answers, if it could not be reached.
 * @template T
 * @param {ServerHealth} health
 * @param {() => Promise<T>} work
 */
async function persist(health, work) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await health.during(work());
    } catch (error) {
      if (!isUnreachable(error) || tries === MAX_TRIES) throw error;
      await health.answering();
    }
  }
}

/**
 * Call the event, and hand on each value that it gives.
 * @param {string} root
 * @param {object} call
 * @param {(value: any) => void} take
 * @throws {ErrorData | UnreachableError}
 */
async function callOnce(root, call, take) {
  // A session for each call: what comes back is of this call alone.
  const session = Math.random().toString(36).slice(2);
  // `simple_format`: values that are whole, not how each differs from the one before.
  const body = JSON.stringify({ ...call, session_hash: session, simple_format: true });
  const headers = { "Content-Type": "application/json" };
  const joined = await fetch(`${root}/gradio_api/queue/join`, { method: "POST", headers, body }).catch(() => null);
  if (!joined || [502, 504].includes(joined.status)) throw new UnreachableError();
  if (!joined.ok) throw joined.status === 503 ? BUSY : FAULT;
  await new Promise((resolve, reject) => {
    const stream = new EventSource(`${root}/gradio_api/queue/data?session_hash=${session}`);
    const end = (/** @type {() => void} */ settle) => {
      clearTimeout(timer);
      stream.close();
      settle();
    };
    const lose = () => end(() => reject(new UnreachableError()));
    let timer = setTimeout(lose, SILENT_MS);
    let isGiven = false;
    stream.onerror = lose;
    stream.onmessage = ({ data }) => {
      clearTimeout(timer);
      timer = setTimeout(lose, SILENT_MS);
      const { msg, success, output } = JSON.parse(data);
      if (msg === "unexpected_error") lose(); // the server is being stopped
      else if (msg === "process_generating") {
        isGiven = true;
        take(output.data[0]);
      } else if (msg === "process_completed") {
        if (success && !isGiven) take(output.data[0]); // else it is the last once more
        end(success ? () => resolve(undefined) : () => reject(FAULT));
      }
    };
  });
}
