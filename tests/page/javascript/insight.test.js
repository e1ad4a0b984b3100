// Where a caption rests, the beam tree, the comparison of two captions, and the tour, without a page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { align } from "../../../captioner/page/static/compare.js";
import { restingPlace } from "../../../captioner/page/static/live.js";
import { placeCallout } from "../../../captioner/page/static/tour.js";
import { NODE_HEIGHT, layOut, moveInTree, pathTo, shownPath } from "../../../captioner/page/static/tree_layout.js";

function candidate(text, parent, probability, ended = false) {
  return { text, parent, probability, ended };
}

const STEPS = [
  [candidate("a", -1, 0.6), candidate("the", -1, 0.2)],
  [candidate("dog", 1, 0.9), candidate("owl", 0, 0.5), candidate("cat", 0, 0.25)],
  [candidate("", 1, 0.7, true), candidate("", 0, 0.6, true)],
];

test("a new caption rests on the word to which the photo added most", () => {
  const words = [
    { probability: 0.6, blind: 0.58 },
    { probability: 0.9, blind: 0.2 },
    { probability: 0.4, blind: 0.1, recognized: 0.5 },
  ];
  assert.equal(restingPlace(words), 1);
});

test("a word that was read off the photo counts for more, unless it is improbable", () => {
  const water = { probability: 0.8, blind: 0.02 };
  const cheetah = { probability: 0.35, blind: 0, recognized: 1 };
  assert.equal(restingPlace([water, cheetah]), 1);
  assert.equal(restingPlace([water, { ...cheetah, probability: 0.1 }]), 0);
});

test("without evidence a caption rests on its first word", () => {
  assert.equal(restingPlace([{ probability: 0.2, blind: null }, { probability: 0.9, blind: null }]), 0);
  assert.equal(restingPlace([]), 0);
});

test("a path through the tree has the words from the first on", () => {
  assert.deepEqual(pathTo(STEPS, { step: 2, row: 0 }), ["a", "owl", ""]);
  assert.deepEqual(pathTo(STEPS, { step: 1, row: 0 }), ["the", "dog"]);
});

test("the ribbons that leave a word share its height by probability", () => {
  const { nodes, ribbons, width } = layOut(STEPS, 100);
  const [, , , owl, cat] = ribbons;
  assert.deepEqual([owl.width, cat.width], [NODE_HEIGHT / 2, NODE_HEIGHT / 4]);
  const starts = [owl, cat].map(({ path }) => Number(path.split(/[ C]/)[1]));
  assert.deepEqual(starts, [NODE_HEIGHT * (3 / 8), NODE_HEIGHT * (3 / 4)], "three quarters, in its middle");
  assert.equal(nodes[2][0].x + nodes[2][0].width, width);
});

test("arrows lead to the word before, the likeliest after, and along a column", () => {
  assert.deepEqual(moveInTree(STEPS, { step: 1, row: 1 }, "ArrowLeft"), { step: 0, row: 0 });
  assert.deepEqual(moveInTree(STEPS, { step: 0, row: 0 }, "ArrowRight"), { step: 1, row: 1 });
  assert.deepEqual(moveInTree(STEPS, { step: 1, row: 1 }, "ArrowDown"), { step: 1, row: 2 });
  assert.equal(moveInTree(STEPS, { step: 1, row: 2 }, "ArrowRight"), null);
  assert.equal(moveInTree(STEPS, { step: 0, row: 0 }, "ArrowUp"), null);
});

test("the caption shown is found in the tree, its end too, also where its article was made to agree", () => {
  assert.deepEqual(shownPath(STEPS, ["an", "owl"]), [0, 1, 0]);
  assert.deepEqual(shownPath(STEPS, ["the", "dog", "runs"]), [1, 0]);
  assert.deepEqual(shownPath(STEPS, ["one"]), []);
});

test("captions are aligned with as few changes as possible", () => {
  const first = ["a", "dog", "runs"];
  assert.deepEqual(align(first, ["a", "big", "dog", "sleeps"]), [[0, 0], [null, 1], [1, 2], [2, 3]]);
  assert.deepEqual(align(first, ["dog"]), [[0, null], [1, 0], [2, null]]);
  assert.deepEqual(align([], []), []);
});

test("a callout stands where it covers least of what it is about", () => {
  assert.deepEqual(placeCallout({ top: 100, bottom: 140 }, 150, 800), ["below", 154]);
  assert.deepEqual(placeCallout({ top: 700, bottom: 740 }, 150, 800), ["above", 536]);
  assert.deepEqual(placeCallout({ top: 100, bottom: 700 }, 150, 800), ["on", 536]);
});
