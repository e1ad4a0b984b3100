// Photos before they are sent, gestures and settings, as numbers, without a page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { stepOf } from "../../../captioner/page/static/gestures.js";
import { fitted, isHeic, steps } from "../../../captioner/page/static/photo_file.js";
import { reconcile } from "../../../captioner/page/static/settings.js";

const bytes = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const DEFAULTS = { num_captions: 3, beam_size: 3, diversity: 0, min_length: 1, max_length: 30 };

test("a photo is fitted into 1600 pixels, and a smaller one stays", () => {
  assert.deepEqual(fitted(4000, 3000), [1600, 1200]);
  assert.deepEqual(fitted(3000, 4000), [1200, 1600]);
  assert.deepEqual(fitted(1600, 900), [1600, 900]);
  assert.deepEqual(fitted(20000, 3), [1600, 1]);
});

test("a large photo is halved until the last step is less than a half", () => {
  assert.deepEqual(steps([8000, 6000], [1600, 1200]), [[4000, 3000], [2000, 1500], [1600, 1200]]);
  assert.deepEqual(steps([3000, 2000], [1600, 1067]), [[1600, 1067]]);
});

test("HEIC is known by its first bytes, not by its name", () => {
  assert.ok(isHeic(bytes("\0\0\0\x18ftypheic")));
  assert.ok(isHeic(bytes("\0\0\0\x18ftypmif1")));
  assert.ok(!isHeic(bytes("\0\0\0\x18ftypavif")));
  assert.ok(!isHeic(bytes("\xff\xd8\xff\xe0\0\x10JFIF\0\0")));
  assert.ok(!isHeic(bytes("")));
});

test("a swipe to the left is the next word, and a slanted or short movement is none", () => {
  assert.equal(stepOf(-60, 10), 1);
  assert.equal(stepOf(60, -10), -1);
  assert.equal(stepOf(-60, 50), 0);
  assert.equal(stepOf(-30, 0), 0);
});

test("the minimum length never exceeds the maximum: the one that was moved pushes the other", () => {
  const low = reconcile({ ...DEFAULTS, min_length: 12, max_length: 8 }, "max_length");
  assert.deepEqual([low.min_length, low.max_length], [8, 8]);
  const high = reconcile({ ...DEFAULTS, min_length: 12, max_length: 8 }, "min_length");
  assert.deepEqual([high.min_length, high.max_length], [12, 12]);
});

test("there are never more captions than the beam gives", () => {
  assert.equal(reconcile({ ...DEFAULTS, num_captions: 5 }, "num_captions").beam_size, 5);
  assert.equal(reconcile({ ...DEFAULTS, beam_size: 1 }, "beam_size").num_captions, 1);
});

test("with diversity each caption has its own beam, and a single caption has no diversity", () => {
  const diverse = { ...DEFAULTS, beam_size: 1, diversity: 1 };
  assert.deepEqual(reconcile(diverse, "diversity"), diverse);
  assert.equal(reconcile({ ...diverse, diversity: 0 }, "diversity").beam_size, 3);
  assert.equal(reconcile({ ...diverse, num_captions: 1 }, "num_captions").diversity, 0);
});
