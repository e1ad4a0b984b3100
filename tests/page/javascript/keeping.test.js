// What is kept, linked to and saved, and how a server's health is watched; without a page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { makeLink, readLink } from "../../../captioner/page/static/links.js";
import { Memory, storyOf } from "../../../captioner/page/static/memory.js";
import { Requests } from "../../../captioner/page/static/requests.js";
import { INTERVAL_MS, ServerHealth } from "../../../captioner/page/static/server_health.js";
import { makePage } from "../../../captioner/page/static/share.js";
import { ViewerState } from "../../../captioner/page/static/state.js";

/** Let what waits for resolved promises run. */
async function settle() {
  for (let i = 0; i < 10; i += 1) await Promise.resolve();
}

/** A server's health by a mocked clock; `server.isUp` is what a check finds. */
function watch(context) {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const server = { isUp: true, isSeen: true, checks: [], said: [] };
  const health = new ServerHealth({
    check: async () => {
      server.checks.push(Date.now());
      return server.isUp;
    },
    onChange: (lost) => server.said.push(lost),
    mayCheck: () => server.isSeen,
  });
  const pass = async (seconds) => {
    for (let i = 0; i < 10 * seconds; i += 1) {
      context.mock.timers.tick(100);
      await settle();
    }
  };
  return { health, server, pass };
}

test("a server is not asked for its health while nothing is awaited of it", async (context) => {
  const { health, server, pass } = watch(context);
  await pass(10);
  await health.during(Promise.resolve());
  await pass(10);
  assert.ok(server.checks.length <= 1);
});

test("a server that dies while something is awaited is told within 5 s, once", async (context) => {
  const { health, server, pass } = watch(context);
  void health.during(new Promise(() => {}));
  await pass(7);
  server.isUp = false;
  await pass(5);
  assert.deepEqual(server.said, [true]);
  await pass(20);
  assert.deepEqual(server.said, [true]);
  server.isUp = true;
  await pass(4);
  assert.deepEqual(server.said, [true, false]);
});

test("requests one after another do not put a check off", async (context) => {
  const { health, server, pass } = watch(context);
  for (let i = 0; i < 6; i += 1) {
    void health.during(new Promise(() => {}));
    await pass(1);
  }
  assert.ok(server.checks.length >= 1);
});

test("a server is asked at most once every 3 s, however often it is suspected", async (context) => {
  const { health, server, pass } = watch(context);
  server.isUp = false;
  for (let i = 0; i < 50; i += 1) {
    health.suspect();
    void health.answering();
    await pass(0.3);
  }
  const gaps = server.checks.slice(1).map((time, i) => time - server.checks[i]);
  assert.ok(gaps.length >= 3);
  assert.ok(Math.min(...gaps) >= INTERVAL_MS);
});

test("what waits for a server goes on when it answers again", async (context) => {
  const { health, server, pass } = watch(context);
  server.isUp = false;
  let isBack = false;
  void health.answering().then(() => {
    isBack = true;
  });
  await pass(8);
  assert.equal(isBack, false);
  server.isUp = true;
  await pass(4);
  assert.equal(isBack, true);
});

test("a page that nobody sees asks nothing, and goes on when it is seen", async (context) => {
  const { health, server, pass } = watch(context);
  server.isSeen = false;
  void health.during(new Promise(() => {}));
  await pass(10);
  assert.equal(server.checks.length, 0);
  server.isSeen = true;
  health.resume();
  await pass(1);
  assert.equal(server.checks.length, 1);
});

test("a request does not end while the server is away, and does some time after", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const failed = [];
  const requests = new Requests({ send() {}, turn: () => 1, onBusy() {}, onWaiting() {} });
  requests.send("score", {}, () => {}, (error) => failed.push(error.code));
  requests.hold(true);
  context.mock.timers.tick(600_000);
  assert.deepEqual(failed, []);
  requests.hold(false);
  context.mock.timers.tick(60_000);
  assert.deepEqual(failed, ["fault"]);
});

test("a link says which example, which words, and which of them", () => {
  const link = { example: "grace_hopper", words: 'a "dog" & <b>cat</b> été', current: 3 };
  const fragment = makeLink(link);
  assert.match(fragment, /^#[\w=&+%.-]+$/);
  assert.deepEqual(readLink(fragment), link);
});

test("an address without an example is no link", () => {
  for (const fragment of ["", "#", "#about", "#words=a"]) assert.equal(readLink(fragment), null);
});

test("a link that was not made here is refused", () => {
  for (const fragment of [
    "#example=",
    "#example=../../etc",
    "#example=lion&words=a%00b",
    "#example=lion&words=a%E2%80%AEb",
    `#example=lion&words=${"a".repeat(301)}`,
    `#example=lion&words=${"a+".repeat(41)}`,
    "#example=lion&word=0",
    "#example=lion&word=1e9",
    `#example=lion&${"x".repeat(5000)}`,
  ]) {
    assert.equal(readLink(fragment), undefined, fragment.slice(0, 60));
  }
});

test("a story keeps the last steps of a long way back", () => {
  const state = new ViewerState();
  for (let i = 0; i < 100; i += 1) state.replace({ caption: { caption: String(i), words: [] }, origin: "", occlusion: null });
  const { history, shown } = storyOf(state);
  assert.equal(shown.caption.caption, "99");
  assert.ok(history.length < 50);
  assert.equal(history.at(-1).shown.caption.caption, "98");
});

test("a story is of the caption that was written with the photo, also while the eyes are closed", () => {
  const state = new ViewerState();
  for (const caption of ["a dog", "a cat", "a man"]) {
    const shown = { caption: { caption, words: [] }, origin: "", occlusion: null };
    if (caption === "a man") state.closeEyes(shown);
    else state.replace(shown);
  }
  const { history, shown } = storyOf(state);
  assert.equal(shown.caption.caption, "a cat");
  assert.deepEqual(history.map((step) => step.shown.caption.caption), ["a dog"]);
});

test("where the browser has no database, nothing is kept and nothing fails", async () => {
  const memory = new Memory();
  await memory.keep({ of: "1", name: "a.jpg", blob: new Blob(["x"]), example: null }, storyOf(new ViewerState()));
  assert.equal(await memory.recall(), null);
  await memory.forget();
});

test("a saved page holds names and words as data, never as HTML", () => {
  const hostile = "</script><img src=x onerror=alert(1)><!--";
  const page = makePage({ photo: "data:,", name: hostile, caption: { caption: hostile } }, { "a.js": `"${hostile}"` }, {});
  assert.equal(page.includes("<img"), false);
  assert.equal(page.match(/<\/script>/g).length, 4);
});

test("a saved page runs no script but its own, and loads nothing", () => {
  const shared = { photo: "data:,", name: "", caption: { caption: "" } };
  const [first, second] = [makePage(shared, {}, {}), makePage(shared, {}, {})];
  const [policy] = first.match(/default-src[^"]+/);
  assert.match(policy, /^default-src 'none'; script-src 'nonce-\w{16,}'; style-src 'unsafe-inline'; img-src data: blob:$/);
  assert.notEqual(policy, second.match(/default-src[^"]+/)[0]);
});

test("modules of a saved page import one another by name", () => {
  const modules = { "a.js": 'import { b } from "./b.js";\nimport "./c.js";', "b.js": "", "c.js": "" };
  const page = makePage({ photo: "", name: "", caption: {} }, modules, {});
  const { imports } = JSON.parse(page.match(/<script type="importmap"[^>]*>(.*?)<\/script>/s)[1]);
  assert.deepEqual(Object.keys(imports), ["caption-viewer/a.js", "caption-viewer/b.js", "caption-viewer/c.js"]);
  const source = decodeURIComponent(imports["caption-viewer/a.js"]);
  assert.ok(source.endsWith('import { b } from "caption-viewer/b.js";\nimport "caption-viewer/c.js";'));
});
