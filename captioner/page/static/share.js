// A caption to take along: a link to an example, or a page in one file with the photo in it.

import { makeLink } from "./links.js";
import { FILES, fetchOwn, readOwn } from "./own.js";
import { draw, fitted, toJpeg } from "./photo_file.js";
import { LANGUAGES } from "./texts.js";

/** @typedef {import("./types.js").Caption} Caption */

const LONGEST_SIDE = 1024; // pixels
const IMPORT = /(from |import )"\.\/(\w+\.js)"/g;
const PREFIX = "caption-viewer/"; // of the modules' names in the saved page
const STYLE = `
body { max-width: 1180px; margin: 0 auto; padding: 16px; font: 16px/1.5 system-ui, sans-serif; background: #fff; }
body.dark { background: #18181b; }
`;

/**
 * @typedef {object} Shared
 * @property {string} photo as a data: address
 * @property {string} name of the photo's file
 * @property {Caption} caption
 */

/** A page's text, in which nothing of the data is taken for HTML. @param {any} data */
function toScriptText(data) {
  return JSON.stringify(data).replaceAll("<", "\\u003c");
}

/**
 * A page in one file, which shows a caption without a server or a network.
 * @param {Shared} shared
 * @param {Record<string, string>} modules sources by file name
 * @param {Record<string, string>} files what else the viewer reads, as `readOwn` names it
 */
export function makePage(shared, modules, files) {
  // Scripts run by a number that nobody could know before.
  const nonce = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("");
  const imports = Object.fromEntries(
    Object.entries(modules).map(([name, source]) => {
      const text = source.replace(IMPORT, `$1"${PREFIX}$2"`);
      return [PREFIX + name, `data:text/javascript;charset=utf-8,${encodeURIComponent(text)}`];
    }),
  );
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'unsafe-inline'; img-src data: blob:`;
  return `<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>${STYLE}</style>
<script type="importmap" nonce="${nonce}">${toScriptText({ imports })}</script>
</head>
<body>
<caption-viewer></caption-viewer>
<script type="application/json" id="caption-viewer-files">${toScriptText(files)}</script>
<script type="application/json" id="caption-viewer-shared">${toScriptText(shared)}</script>
<script type="module" nonce="${nonce}">import "${PREFIX}shared_page.js";</script>
</body>
</html>
`;
}

/** The module's source and those of all that it imports, by file name. @param {string} name */
async function readModules(name, found = /** @type {Record<string, string>} */ ({})) {
  if (name in found) return found;
  found[name] = ""; // being read
  found[name] = await fetchOwn(name);
  for (const [, , imported] of found[name].matchAll(IMPORT)) await readModules(imported, found);
  return found;
}

/** @param {HTMLImageElement} image @returns {Promise<string>} a data: address of it, no larger than needed */
async function toDataUrl(image) {
  const photo = await toJpeg(draw(image, fitted(image.naturalWidth, image.naturalHeight, LONGEST_SIDE)));
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(photo);
  });
}

export class Sharing {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
  }

  /** Offer what there is of the photo that is shown now. */
  offer() {
    const { state, intake } = this.viewer;
    const isOwn = intake.photo !== null && state.phase === "done";
    this.viewer.find("[data-action=link]").hidden = !intake.example;
    this.viewer.find("[data-action=page]").hidden = state.phase !== "done";
    for (const name of ["[data-action=forget]", "p"]) this.viewer.find(`.sharing ${name}`).hidden = !isOwn;
  }

  /** Copy the address at which the page opens on this example with this caption. */
  copyLink() {
    const { state, exporter, intake } = this.viewer;
    if (!state.shown || !intake.example) return;
    const link = { example: intake.example.id, words: state.shown.caption.caption, current: state.current };
    void exporter.copy(new URL(makeLink(link), location.href).href);
  }

  async savePage() {
    const { state, exporter, texts } = this.viewer;
    if (!state.shown || !state.image) return;
    const { caption } = state.shown;
    exporter.report(texts.say("drawing"));
    const file = exporter.fileName("caption.html");
    try {
      const shared = { photo: await toDataUrl(state.image), name: state.name, caption };
      for (const language of LANGUAGES) await readOwn(`../locales/${language}.json`);
      const page = makePage(shared, await readModules("shared_page.js"), FILES);
      exporter.save(new Blob([page], { type: "text/html" }), file);
    } catch {
      exporter.report(texts.say("unsaved", { name: file })); // the server is away
    }
  }
}
