// Types of the data that the viewer is given, for the type checker alone.
//
// Captions are as the /caption endpoint gives them; see caption.schema.json.

/**
 * @typedef {object} Word
 * @property {string} text
 * @property {boolean} known
 * @property {number} probability
 * @property {number} [recognized] the share of the probability that was read off the photo
 * @property {number | null} [blind] the probability without the photo
 * @property {number | null} [entropy] of the model's distribution there, in nats
 * @property {number | null} [ending] the probability that the caption ends there, without the word
 * @property {[string, number][]} alternatives
 * @property {number[][]} alpha
 */

/**
 * The end of a caption, after its last word.
 * @typedef {object} Ending
 * @property {number} probability
 * @property {number} entropy
 * @property {[string, number][]} alternatives words in its place
 */

/**
 * @typedef {object} Caption
 * @property {string} caption
 * @property {number} score
 * @property {number} perplexity
 * @property {number | null} [familiarity] how like the training photos the photo is
 * @property {boolean} [finished]
 * @property {[number, number]} grid rows and columns
 * @property {Ending | null} [ending] null if it is not finished
 * @property {Word[]} words
 */

/**
 * The loss of probability of each word, for each region that is hidden.
 * @typedef {object} Occlusion
 * @property {number[][][]} drops
 * @property {number[]} agreements
 */

/**
 * A word, or the end, that the search considered after the words of its parent.
 * @typedef {object} Candidate
 * @property {string} text empty for the end
 * @property {number} parent index among the candidates of the step before, -1 at the first step
 * @property {number} probability after the words before it
 * @property {number} logprob of all words so far
 * @property {boolean} kept
 * @property {boolean} ended
 * @property {boolean} best of the caption that the search found best
 */

/** @typedef {{steps: Candidate[][]}} SearchTree */

/**
 * @typedef {object} ErrorData
 * @property {string} code
 * @property {Record<string, string | number | boolean>} values
 * @property {string} message in English
 */

/** @typedef {{before: number, seconds: number}} Waiting a place in the line */
/** @typedef {{url: string}} FileReference */

/**
 * The answer to a request, by the request's `id`.
 * @typedef {object} Answer
 * @property {number} [id]
 * @property {Waiting} [waiting]
 * @property {ErrorData} [error]
 * @property {Caption} [caption]
 * @property {Caption[]} [captions]
 * @property {Occlusion} [occlusion]
 * @property {SearchTree} [tree]
 * @property {FileReference} [animation]
 */

/**
 * What there is to show: `looking` while the model works, `waiting` while the photo waits for it,
 * an `error`, `captions` of a photo, best first, or an `answer` to a request. Empty: no photo.
 * @typedef {object} ViewerValue
 * @property {string | null} [of] which photo, as the page names it
 * @property {string} [name] of the photo's file, as the visitor knows it
 * @property {FileReference | null} [photo]
 * @property {boolean} [looking]
 * @property {boolean} [example] shown at once, without the server
 * @property {boolean} [chosen] by the visitor just now: the words arrive one by one
 * @property {Waiting | null} [waiting]
 * @property {boolean} [lost] whether the server does not answer at present
 * @property {ErrorData | null} [error]
 * @property {Caption[] | null} [captions]
 * @property {Answer | null} [answer]
 * @property {FileReference | null} [animation]
 */

export {};
