// Where the words of a beam tree and the ribbons between them lie. Knows no page.

/** @typedef {import("./types.js").Candidate} Candidate */
/** @typedef {{step: number, row: number}} Place of a candidate */

export const NODE_HEIGHT = 24;
const ROW_HEIGHT = 30;
const ROOT_WIDTH = 10;
const NODE_SHARE = 0.73; // of a column; the rest is for the ribbons
const LEAST_RIBBON = 1;

/**
 * @typedef {object} Node
 * @property {number} x
 * @property {number} y
 * @property {number} width
 */

/**
 * @typedef {object} Ribbon to a candidate from the one before it, or from the start
 * @property {string} path of its middle line, for SVG
 * @property {number} width
 * @property {Candidate} candidate
 */

/**
 * Lay the tree out in columns, a row for each candidate. The ribbons that leave a word share its
 * height as the words after it share the probability.
 * @param {Candidate[][]} steps
 * @param {number} column width of a column
 */
export function layOut(steps, column) {
  const nodes = steps.map((candidates, step) =>
    candidates.map((_, row) => {
      const x = ROOT_WIDTH + (step + 1 - NODE_SHARE) * column;
      return { x, y: row * ROW_HEIGHT, width: NODE_SHARE * column };
    }),
  );
  /** @type {Ribbon[]} */
  const ribbons = [];
  steps.forEach((candidates, step) => {
    /** Where the next ribbon leaves each parent: all of them together at its middle. @type {Record<number, number>} */
    const free = {};
    for (const { parent, probability } of candidates) {
      free[parent] = (free[parent] ?? NODE_HEIGHT / 2) - (probability * NODE_HEIGHT) / 2;
    }
    candidates.forEach((candidate, row) => {
      const parent = nodes[step - 1]?.[candidate.parent] ?? { x: 0, y: 0, width: ROOT_WIDTH };
      const node = nodes[step][row];
      const share = candidate.probability * NODE_HEIGHT;
      const from = parent.y + free[candidate.parent] + share / 2;
      free[candidate.parent] += share;
      const [left, right, to] = [parent.x + parent.width, node.x, node.y + NODE_HEIGHT / 2];
      const middle = (left + right) / 2;
      const path = `M${left} ${from}C${middle} ${from} ${middle} ${to} ${right} ${to}`;
      ribbons.push({ path, width: Math.max(LEAST_RIBBON, share), candidate });
    });
  });
  const rows = Math.max(0, ...steps.map((candidates) => candidates.length));
  return { nodes, ribbons, width: ROOT_WIDTH + steps.length * column, height: rows * ROW_HEIGHT };
}

/** The words from the first to a candidate, its own last. @param {Candidate[][]} steps @param {Place} place */
export function pathTo(steps, { step, row }) {
  const texts = [];
  for (let at = row; step >= 0; step -= 1) {
    const { text, parent } = steps[step][at];
    texts.unshift(text);
    at = parent;
  }
  return texts;
}

/**
 * The candidate that a key leads to, or null at the tree's edge: left to the word before, right to
 * the likeliest word after, up and down within a column.
 * @param {Candidate[][]} steps
 * @param {Place} place
 * @param {string} key
 * @returns {Place | null}
 */
export function moveInTree(steps, { step, row }, key) {
  if (key === "ArrowUp" && row > 0) return { step, row: row - 1 };
  if (key === "ArrowDown" && row < steps[step].length - 1) return { step, row: row + 1 };
  if (key === "ArrowLeft" && step > 0) return { step: step - 1, row: steps[step][row].parent };
  if (key === "ArrowRight" && step < steps.length - 1) {
    const next = steps[step + 1].findIndex(({ parent }) => parent === row);
    return next < 0 ? null : { step: step + 1, row: next };
  }
  return null;
}

/**
 * The rows, from the first step on, of the candidates that a caption went through. An article may
 * have been made to agree with its noun since: "a" is "an" here.
 * @param {Candidate[][]} steps
 * @param {string[]} words
 */
export function shownPath(steps, words) {
  /** @type {number[]} */
  const rows = [];
  for (const [step, candidates] of steps.entries()) {
    const parent = rows[step - 1] ?? -1;
    const wanted = words[step] ?? "";
    const row = candidates.findIndex(
      (candidate) =>
        candidate.parent === parent && candidate.ended === (step === words.length) && isSame(candidate.text, wanted),
    );
    if (row < 0) break;
    rows.push(row);
  }
  return rows;
}

/** @param {string} one @param {string} other */
function isSame(one, other) {
  return one === other || [one, other].every((word) => word === "a" || word === "an");
}
