// The viewer's state, its requests and its texts, without a page.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { altSnippet, fileName, wrapText } from "../../../captioner/page/static/export.js";
import { attendingAt, moveCell } from "../../../captioner/page/static/region_query.js";
import { Requests } from "../../../captioner/page/static/requests.js";
import { ViewerState } from "../../../captioner/page/static/state.js";
import { Texts, chooseLanguage } from "../../../captioner/page/static/texts.js";

/** A caption of these words, each attending to its own cell of two. */
function caption(...said) {
  const words = said.map((text, i) => ({ text, alpha: [[Number(i === 0), Number(i > 0)]] }));
  return { caption: said.join(" "), words, grid: [1, 2] };
}

function shown(...said) {
  return { caption: caption(...said), origin: said.join("-"), occlusion: null };
}

function texts(language) {
  const table = new URL(`../../../captioner/page/locales/${language}.json`, import.meta.url);
  return new Texts(language, JSON.parse(readFileSync(table, "utf-8")));
}

test("stepping stays within the words, and leaves hovering and regions", () => {
  const state = new ViewerState();
  state.show(shown("a", "dog"));
  state.selectRegion(1);
  state.peek(0);
  state.goTo(9);
  assert.deepEqual([state.current, state.peeked, state.region], [1, null, null]);
  state.goTo(-1);
  assert.equal(state.current, 0);
});

test("a word that is hovered over is drawn, and the current one otherwise", () => {
  const state = new ViewerState();
  state.show(shown("a", "dog"), 1);
  state.peek(0);
  assert.equal(state.drawnIndex, 0);
  state.peek(null);
  assert.equal(state.drawnIndex, 1);
});

test("undo brings back each caption with its word", () => {
  const state = new ViewerState();
  state.show(shown("a", "dog"), 1);
  state.replace(shown("a", "cat"), 0);
  state.replace(shown("a", "bird"), 1);
  assert.equal(state.undo(1), true);
  assert.deepEqual([state.shown.origin, state.current], ["a-cat", 0]);
  state.replace(shown("a", "fish"));
  assert.equal(state.undo(state.history.length), true);
  assert.deepEqual([state.shown.origin, state.current, state.history.length], ["a-dog", 1, 0]);
  assert.equal(state.undo(1), false);
});

test("another photo leaves nothing of the one before but the appearance", () => {
  const state = new ViewerState();
  state.startPhoto("done", "one.jpg", "one.jpg");
  state.show(shown("a", "dog"), 1);
  state.replace(shown("a", "cat"));
  state.changeAppearance({ palette: "viridis" });
  state.startPhoto("looking", "two.jpg");
  assert.deepEqual(
    [state.turn, state.phase, state.photoId, state.name, state.words, state.history, state.current],
    [2, "looking", "two.jpg", "", [], [], 0],
  );
  assert.equal(state.appearance.palette, "viridis");
});

test("closing the eyes hides the way back, and opening them brings back all as it was", () => {
  const state = new ViewerState();
  state.show(shown("a", "cat"));
  state.replace(shown("a", "dog", "runs"), 2);
  state.closeEyes(shown("a", "man"));
  assert.deepEqual([state.eyesClosed, state.shown.origin, state.current, state.history], [true, "a-man", 0, []]);
  assert.equal(state.undo(1), false);
  state.goTo(1);
  state.openEyes();
  assert.deepEqual([state.eyesClosed, state.shown.origin, state.current], [false, "a-dog-runs", 2]);
  assert.deepEqual(state.history.map(({ shown: { origin } }) => origin), ["a-cat"]);
  state.openEyes();
  assert.equal(state.current, 2);
});

test("another caption opens the eyes, and undo leads to what was seen before", () => {
  const state = new ViewerState();
  state.show(shown("a", "dog"), 1);
  state.closeEyes(shown("a", "man"));
  state.replace(shown("a", "bird"));
  assert.equal(state.eyesClosed, false);
  state.undo(1);
  assert.deepEqual([state.shown.origin, state.current], ["a-dog", 1]);
  state.closeEyes(shown("a", "man"));
  state.startPhoto("looking", "two.jpg");
  assert.deepEqual([state.eyesClosed, state.shown], [false, null]);
});

test("the last known way of choosing a word holds for those that follow", () => {
  const state = new ViewerState();
  state.show({ ...shown("a", "cat", "sleeps", "far"), choosers: [undefined, "visitor", "search"] });
  assert.deepEqual([0, 1, 2, 3].map((index) => state.chooserOf(index)), [undefined, "visitor", "search", "search"]);
  state.show(shown("a"));
  assert.equal(state.chooserOf(0), undefined);
});

test("importance is drawn once it has been measured", () => {
  const state = new ViewerState();
  state.show(shown("a"));
  state.changeAppearance({ source: "importance" });
  assert.equal(state.drawnOcclusion, null);
  state.shown.occlusion = { drops: [], agreements: [] };
  assert.equal(state.drawnOcclusion, state.shown.occlusion);
  state.changeAppearance({ source: "attention" });
  assert.equal(state.drawnOcclusion, null);
});

/** Requests of a made page, and what came of them. */
function makeRequests() {
  const page = { turn: 1, sent: [], busy: [], waiting: [], results: [] };
  const requests = new Requests({
    send: (request) => page.sent.push(request),
    turn: () => page.turn,
    onBusy: (busy) => page.busy.push(busy),
    onWaiting: (waiting) => page.waiting.push(waiting),
  });
  const send = (kind, data) =>
    requests.send(
      kind,
      data,
      (answer) => page.results.push(answer),
      (error) => page.results.push(error.code),
    );
  return { page, requests, send };
}

test("one request is under way at a time, and the newest of a kind counts", () => {
  const { page, requests, send } = makeRequests();
  send("branch", { word: "cat" });
  send("score", { text: "first" });
  send("score", { text: "second" });
  assert.deepEqual(page.sent, [{ id: 1, kind: "branch", word: "cat" }]);
  requests.receive({ id: 1, caption: "a cat" });
  assert.deepEqual(page.sent[1], { id: 3, kind: "score", text: "second" });
  requests.receive({ id: 2, caption: "late" });
  requests.receive({ id: 3, caption: "second" });
  assert.deepEqual(page.results, [{ id: 1, caption: "a cat" }, { id: 3, caption: "second" }]);
});

test("an answer about a photo that has gone is dropped", () => {
  const { page, requests, send } = makeRequests();
  send("score", {});
  page.turn = 2;
  requests.receive({ id: 1, waiting: { before: 2, seconds: 3 } });
  requests.receive({ id: 1, caption: "old" });
  assert.deepEqual([page.results, page.waiting], [[], []]);
});

test("a request that waits is not sent any more once its photo has gone", () => {
  const { page, requests, send } = makeRequests();
  send("score", {});
  send("occlusion", {});
  page.turn = 2;
  send("branch", {});
  requests.receive({ id: 1, caption: "old" });
  assert.deepEqual(page.sent.map(({ kind }) => kind), ["score", "branch"]);
});

test("an error ends the request under way, with or without its number", () => {
  const { page, requests, send } = makeRequests();
  send("score", {});
  requests.receive({ error: { code: "fault" } });
  send("branch", {});
  requests.receive({ id: 2, error: { code: "unknown_word" } });
  assert.deepEqual(page.results, ["fault", "unknown_word"]);
});

test("a request without an answer fails after a minute", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { page, send } = makeRequests();
  send("score", {});
  context.mock.timers.tick(59_999);
  assert.deepEqual(page.results, []);
  context.mock.timers.tick(1);
  assert.deepEqual(page.results, ["fault"]);
});

test("only requests for new words make the page busy", () => {
  const { page, requests, send } = makeRequests();
  send("occlusion", {});
  send("score", {});
  requests.receive({ id: 1 });
  requests.receive({ id: 2 });
  assert.deepEqual(page.busy, [false, true, false]);
});

test("errors are explained by code in the visitor's language, unknown ones in English", () => {
  const error = { code: "too_small", values: { min_side: 8, width: 1, height: 2 }, message: "small" };
  assert.equal(
    texts("fr").explain(error),
    "Une photo doit avoir au moins 8 pixels de côté\u00a0; celle-ci fait 1 × 2.",
  );
  assert.equal(texts("fr").explain({ ...error, code: "new" }), "small");
  assert.equal(texts("en").explain({ code: "toString", values: {}, message: "odd" }), "odd");
});

test("a value is no placeholder, whatever it holds", () => {
  const error = { code: "unknown_word", values: { word: "{word} $& <b>" }, message: "" };
  assert.equal(texts("en").explain(error), "The model does not know the word “{word} $& <b>”.");
});

test("browsers of other languages read English", () => {
  assert.deepEqual(["fr-CA", "FR", "de", "fry"].map(chooseLanguage), ["fr", "fr", "en", "en"]);
});

test("small shares are told in words or with a decimal", () => {
  assert.equal(texts("en").percent(0.004), "under 1%");
  assert.equal(texts("en").percent(0), "0%");
  assert.equal(texts("en").finePercent(0.0156), "1.6%");
});

test("places are named in thirds", () => {
  assert.equal(texts("en").placeName(0, [4, 4]), "upper left");
  assert.equal(texts("en").placeName(24, [7, 7]), "centre");
  assert.equal(texts("en").placeName(5, [2, 3]), "lower right");
});

test("words are listed by their attention on a region", () => {
  const listed = attendingAt(caption("a", "dog", "runs").words, [1, 2], 1);
  assert.deepEqual(listed.map(({ index }) => index), [1, 2, 0]);
});

test("arrow keys move over the grid, and stay at its edges", () => {
  assert.equal(moveCell(5, [3, 4], "ArrowUp"), 1);
  assert.equal(moveCell(1, [3, 4], "ArrowUp"), 1);
  assert.equal(moveCell(3, [3, 4], "ArrowRight"), 3);
  assert.equal(moveCell(3, [3, 4], "ArrowDown"), 7);
  assert.equal(moveCell(4, [3, 4], "ArrowLeft"), 4);
});

test("exported files are named after the photo, in letters that every system takes", () => {
  assert.equal(fileName("my dog (1).jpeg", "caption.json"), "my-dog-1--caption.json");
  assert.equal(fileName("../été.png", "1.png"), "-été-1.png");
  assert.equal(fileName("", "1.png"), "photo-1.png");
});

test("a caption in HTML is escaped", () => {
  assert.equal(altSnippet("a b.jpg", `"<&>'`), '<img src="a%20b.jpg" alt="&quot;&lt;&amp;&gt;&#39;">');
});

test("text is broken between words, and a long word stands alone", () => {
  const lines = wrapText("a dog runs farawayfaraway now", 9, (text) => text.length);
  assert.deepEqual(lines, ["a dog", "runs", "farawayfaraway", "now"]);
});
