// What all parts of the viewer share: its pieces of the page, and what is shown in them.

const find = (selector) => element.querySelector(selector);
const viewer = find(".viewer");
const list = find(".words");
const film = find(".film");
const stage = find(".stage");
const canvas = find(".stage canvas");
const slider = find(".slider");
const playButton = find(".play");
const snippet = find(".snippet");
const stillness = window.matchMedia("(prefers-reduced-motion: reduce)");

let turn = 0; // counts photos, so that what comes late is not taken for a newer one's
let photoOf; // which photo, as the page's photo input names it
let name = ""; // of its file, as the visitor knows it
let image = null;
let captions = []; // of the model's own finding, best first
let told = null; // the caption that is shown: one of these, or a branch, or the visitor's own
let history = []; // what was shown before it
let look = { source: "looked", shape: "smooth", palette: "viridis", opacity: 0.6, peak: true };
