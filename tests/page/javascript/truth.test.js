// What the viewer says about a word, a photo and the candidates, without a page.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { foldCandidates, isRuledOut, noteKey, rankCandidates } from "../../../captioner/page/static/candidates.js";
import { describeDoubt, doubtHeights, wordsTorn } from "../../../captioner/page/static/doubt.js";
import { describeHabit, habitOf, habitShare, wasRead } from "../../../captioner/page/static/evidence.js";
import { describeFamiliarity, isStrange, levelOf } from "../../../captioner/page/static/familiarity.js";
import { Texts } from "../../../captioner/page/static/texts.js";

const TABLE = new URL("../../../captioner/page/locales/en.json", import.meta.url);
const TEXTS = new Texts("en", JSON.parse(readFileSync(TABLE, "utf-8")));

/** The two sentences about what the photo added. */
function habit(probability, blind) {
  const said = describeHabit({ probability, blind }, TEXTS);
  return said && `${said.anyway} ${said.change}`;
}

test("habit is what the word would have without the photo, and never more than it has", () => {
  assert.equal(habitOf({ probability: 0.85, blind: 0.79 }), 0.79);
  assert.equal(habitOf({ probability: 0.4, blind: 0.6 }), 0.4);
  assert.equal(habitOf({ probability: 0.4, blind: 0 }), 0);
});

test("where the probability without the photo is unknown, nothing is claimed", () => {
  for (const blind of [null, undefined]) {
    assert.equal(habitOf({ probability: 0.4, blind }), null);
    assert.equal(habit(0.4, blind), null);
  }
  assert.equal(habitShare([{ probability: 0.4, blind: 0.2 }, { probability: 0.4, blind: null }]), null);
});

test("the share of habit is that of the probability of all words", () => {
  assert.equal(habitShare([{ probability: 0.9, blind: 0.9 }, { probability: 0.1, blind: 0.6 }]), 1);
  assert.equal(habitShare([{ probability: 0.5, blind: 0.25 }, { probability: 0.5, blind: 0 }]), 0.25);
  assert.equal(habitShare([]), null);
});

test("what the photo did is said in points that add up to the percentages shown", () => {
  assert.equal(habit(0.85, 0.79), "Would say it anyway: 79%. The photo added 6 points.");
  assert.equal(habit(0.854, 0.786), "Would say it anyway: 79%. The photo added 6 points.");
  assert.equal(habit(0.41, 0.4), "Would say it anyway: 40%. The photo added 1 point.");
  assert.equal(habit(0.41, 0.45), "Would say it anyway: 45%. Without the photo it would be likelier by 4 points.");
  assert.equal(habit(0.411, 0.413), "Would say it anyway: 41%. The photo hardly changes that.");
  assert.equal(habit(0.46, 0.001), "Would say it anyway: under 1%. The photo added 46 points.");
});

test("a word was read off the photo if at least half of its probability was", () => {
  assert.deepEqual([0.5, 0.81, 0.49, 0, undefined].map((recognized) => wasRead({ recognized })), [true, true, false, false, false]);
});

test("familiarity has three levels, and the strangest are told by number", () => {
  assert.deepEqual([1, 0.1, 0.09, 0.03, 0.029, 0].map(levelOf), ["like", "like", "unlike", "unlike", "strange", "strange"]);
  assert.equal(describeFamiliarity(0.4, TEXTS), "Like the photos it learned from");
  assert.equal(describeFamiliarity(0.05, TEXTS), "Unlike most photos it learned from");
  assert.match(describeFamiliarity(0.029, TEXTS), /^Stranger than 97 of 100 photos it learned from: expect/);
  assert.match(describeFamiliarity(0.0051, TEXTS), /^Stranger than 99 of 100 /);
});

test("no photo is stranger than 100 of 100", () => {
  for (const familiarity of [0.005, 0.002, 0]) {
    assert.match(describeFamiliarity(familiarity, TEXTS), /^Stranger than nearly all photos/);
  }
});

test("a photo of unknown familiarity is not called strange", () => {
  assert.deepEqual([0, 0.5, null, undefined].map(isStrange), [true, false, false, false]);
});

test("an entropy is told as that of equally likely words, in two digits at most", () => {
  assert.deepEqual([1, 9, 9.4, 22, 123, 2536].map((count) => wordsTorn(Math.log(count))), [1, 9, 9, 22, 120, 2500]);
  assert.equal(describeDoubt(Math.log(9), TEXTS), "Uncertain here, as if between about 9 equally likely words.");
  assert.equal(describeDoubt(Math.log(2536), TEXTS), "Uncertain here, as if between about 2,500 equally likely words.");
});

test("between one word there is no being torn", () => {
  for (const entropy of [0, 0.4]) {
    assert.equal(describeDoubt(entropy, TEXTS), "Nearly certain here: one word has most of the probability.");
  }
  assert.match(describeDoubt(Math.log(2), TEXTS), /about 2 equally/);
});

test("the line of doubt is highest where there is most, and a little is not drawn as much", () => {
  const [none, some, most] = doubtHeights([0, 2, 4]);
  assert.ok(none > some && some > most);
  assert.ok(Math.abs(some - (none + most) / 2) < 1e-9);
  assert.ok(doubtHeights([0.1])[0] > some);
});

const WORD = {
  text: "woman",
  probability: 0.3,
  alternatives: [["man", 0.4], ["girl", 0.1], ["lady", 0.005], ["boy", 0.001]],
  ending: 0.2,
};

test("candidates are ranked by probability, the chosen one and the end among them", () => {
  const ranked = rankCandidates(WORD);
  assert.deepEqual(ranked.map(({ text }) => text), ["man", "woman", "", "girl", "lady", "boy"]);
  assert.deepEqual(ranked.map(({ kind }) => kind), ["word", "chosen", "end", "word", "word", "word"]);
  assert.deepEqual(ranked.map(({ likelier }) => likelier), [true, false, false, false, false, false]);
});

test("the end is no candidate where it is unknown or impossible", () => {
  for (const ending of [undefined, null, 0]) {
    assert.ok(rankCandidates({ ...WORD, ending }).every(({ kind }) => kind !== "end"));
  }
});

test("candidates under one percent are folded, but never the chosen one", () => {
  const { shown, folded } = foldCandidates(rankCandidates({ ...WORD, probability: 0.002 }));
  assert.deepEqual(shown.map(({ text }) => text), ["man", "", "girl", "woman"]);
  assert.deepEqual(folded.map(({ text }) => text), ["lady", "boy"]);
});

test("a candidate is ruled out that would repeat an n-gram, or end too short a caption", () => {
  const before = ["a", "coffee pot", "on", "a"];
  const isOut = (text, size, words = before) => isRuledOut({ kind: "word", text }, words, { no_repeat_ngram: size, min_length: 5 });
  assert.deepEqual([0, 1, 2, 3].map((size) => isOut("coffee pot", size)), [false, true, true, false]);
  assert.deepEqual([1, 2].map((size) => isOut("pot", size)), [false, false]);
  assert.ok(isOut("on", 3, [...before, "coffee pot"]));
  assert.ok(!isOut("b", 2, ["a"]));
  const end = { kind: "end", text: "" };
  assert.deepEqual([4, 5].map((least) => isRuledOut(end, before, { no_repeat_ngram: 1, min_length: least })), [false, true]);
});

test("of what was ruled out it is not said that it lost", () => {
  const passedOver = { kind: "word", likelier: true };
  assert.equal(noteKey(passedOver, "search", true), "likelier_ruled_out");
  assert.equal(noteKey(passedOver, "sampling", true), "likelier_ruled_out");
  assert.equal(noteKey(passedOver, "visitor", true), "likelier"); // who may write anything
  assert.equal(noteKey({ kind: "word", likelier: false }, "search", true), null);
});

test("that its sentence lost is said of a candidate that a search passed over, and of no other", () => {
  const passedOver = { kind: "word", likelier: true };
  assert.equal(noteKey(passedOver, "search"), "likelier_lost");
  assert.equal(noteKey(passedOver, "sampling"), "likelier_undrawn");
  assert.equal(noteKey(passedOver, "visitor"), "likelier");
  assert.equal(noteKey(passedOver, undefined), "likelier");
  assert.equal(noteKey({ kind: "word", likelier: false }, "search"), null);
  const chosen = { kind: "chosen", likelier: false };
  assert.deepEqual(
    ["search", undefined, "sampling", "visitor"].map((chooser) => noteKey(chosen, chooser)),
    ["chosen", "chosen", "chosen_drawn", "chosen_yours"],
  );
});
