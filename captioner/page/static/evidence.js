// Evidence: what a word owes to the photo and what to habit, in numbers and in sentences.

/** @typedef {import("./types.js").Word} Word */
/** @typedef {import("./texts.js").Texts} Texts */

const LEAST_READ = 0.5; // of the probability: a word of which less was read off the photo was not

/** Whether the encoder recognized the thing. @param {Word} word */
export function wasRead({ recognized }) {
  return (recognized ?? 0) >= LEAST_READ;
}

/** The part of a word's probability that it has without the photo; null if unknown. @param {Word} word */
export function habitOf({ probability, blind }) {
  return blind === null || blind === undefined ? null : Math.min(blind, probability);
}

/** The share of a caption's probability that is habit, 0 to 1; null if unknown. @param {Word[]} words */
export function habitShare(words) {
  let [habit, all] = [0, 0];
  for (const word of words) {
    const part = habitOf(word);
    if (part === null) return null;
    habit += part;
    all += word.probability;
  }
  return all > 0 ? habit / all : null;
}

/**
 * What a word's probability would be without the photo, and what the photo did to it. In points of
 * the percentages as they are shown, so that these add up.
 * @param {Word} word
 * @param {Texts} texts
 * @returns {{anyway: string, change: string, added: boolean} | null} null where it is unknown
 */
export function describeHabit({ probability, blind }, texts) {
  if (blind === null || blind === undefined) return null;
  const count = Math.round(100 * probability) - Math.round(100 * blind);
  const points = texts.say(Math.abs(count) === 1 ? "one_point" : "points", { count: Math.abs(count) });
  const change = count === 0 ? "photo_unchanged" : count > 0 ? "photo_added" : "photo_lowered";
  return {
    anyway: texts.say("anyway", { percent: texts.percent(blind) }),
    change: texts.say(change, { points }),
    added: count > 0,
  };
}
