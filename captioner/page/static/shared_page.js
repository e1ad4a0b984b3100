// What runs in a saved page: shows the caption in it, and says what needs a server.

import { TEXTS } from "./viewer.js";

const NEEDS_SERVER = [
  ".eyes, .tour-button, .settings, .sharing, .look .choice:has([value=importance])",
  "[data-tab=tree], [data-tab=own], [data-export=gif]",
].join();

const viewer = /** @type {import("./viewer.js").CaptionViewerElement} */ (document.querySelector("caption-viewer"));
const { photo, name, caption } = JSON.parse(String(document.querySelector("#caption-viewer-shared")?.textContent));
document.title = caption.caption;
document.documentElement.lang = TEXTS.language;
document.body.classList.toggle("dark", matchMedia("(prefers-color-scheme: dark)").matches);
viewer.addEventListener("request", (event) => {
  const { id } = /** @type {CustomEvent} */ (event).detail;
  const error = { code: "no_server", values: {}, message: TEXTS.say("share_no_server") };
  viewer.value = { answer: { id, error } };
});
viewer.value = { of: "saved", name, photo: { url: photo }, captions: [caption], example: true };
for (const part of viewer.querySelectorAll(NEEDS_SERVER)) /** @type {HTMLElement} */ (part).hidden = true;
