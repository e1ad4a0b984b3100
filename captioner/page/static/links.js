// Links to an example with one of its captions: what an address's fragment says, and how to say it.
//
// A fragment comes from whoever made the link: it counts only as far as it is what is made here.

const MAX_FRAGMENT = 2000;
const MAX_LETTERS = 300; // as the server has it
const MAX_WORDS = 40;
const EXAMPLE = /^[\w-]{1,60}$/;
const UNPRINTABLE = /\p{C}/u;

/** @typedef {{example: string, words: string, current: number}} Link */

/** A fragment that `readLink` reads. @param {Link} link */
export function makeLink({ example, words, current }) {
  return `#${new URLSearchParams({ example, words, word: String(current + 1) })}`;
}

/**
 * Read an address's fragment: null if it names no example, undefined if it is not what is made here.
 * @param {string} fragment
 * @returns {Link | null | undefined}
 */
export function readLink(fragment) {
  if (fragment.length > MAX_FRAGMENT) return undefined;
  const values = new URLSearchParams(fragment.slice(1));
  const example = values.get("example");
  if (example === null) return null;
  const words = values.get("words") ?? "";
  const place = values.get("word") ?? "1";
  const isWellMade =
    EXAMPLE.test(example) &&
    words.length <= MAX_LETTERS &&
    words.split(" ").length <= MAX_WORDS &&
    !UNPRINTABLE.test(words) &&
    /^[1-9][0-9]?$/.test(place);
  return isWellMade ? { example, words: words.trim(), current: Number(place) - 1 } : undefined;
}
