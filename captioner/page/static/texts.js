// The viewer's texts and numbers in the browser's language, and errors by their codes.

/** @typedef {import("./types.js").ErrorData} ErrorData */

export const LANGUAGES = ["en", "fr"];

/** The language of these texts that fits a browser's, such as "fr-CA". @param {string} wanted */
export function chooseLanguage(wanted) {
  const [start] = wanted.toLowerCase().split("-");
  return LANGUAGES.includes(start) ? start : LANGUAGES[0];
}

export class Texts {
  /**
   * @param {string} language
   * @param {any} table texts by key, and under `errors` by an error's code
   */
  constructor(language, table) {
    this.language = language;
    this.table = table;
    this.wholePercent = new Intl.NumberFormat(language, { style: "percent" });
    this.finerPercent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
    this.oneDecimal = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
    this.twoDecimals = new Intl.NumberFormat(language, {
      minimumFractionDigits: 2,
      maximumFractionDigits: 2,
    });
    this.plain = new Intl.NumberFormat(language);
  }

  /**
   * @param {string} key
   * @param {Record<string, any>} values of the text's placeholders
   */
  say(key, values = {}) {
    return fill(this.table[key], values);
  }

  /** An error in this language, or in English if it has no text here. @param {ErrorData} error */
  explain({ code, values, message }) {
    const text = Object.hasOwn(this.table.errors, code) ? this.table.errors[code] : message;
    return fill(text, values);
  }

  /** @param {import("./types.js").Waiting} waiting */
  placeInLine({ before, seconds }) {
    return this.say(before ? "waiting" : "waiting_next", { before, seconds });
  }

  /** @param {number} share */
  percent(share) {
    if (share > 0 && share < 0.01) return this.say("under_one");
    return this.wholePercent.format(share);
  }

  /** Of attention, which is spread over many regions. @param {number} share */
  finePercent(share) {
    return share < 0.1 ? this.finerPercent.format(share) : this.percent(share);
  }

  /** @param {number} perplexity */
  choices(perplexity) {
    return this.oneDecimal.format(perplexity < 10 ? perplexity : Math.round(perplexity));
  }

  /** A region's place, in thirds of the photo. @param {number} cell @param {number[]} grid */
  placeName(cell, [rows, cols]) {
    /** @param {number} index @param {number} count */
    const third = (index, count) => Math.floor((3 * (index + 0.5)) / count);
    const vertical = ["upper", "middle", "lower"][third(Math.floor(cell / cols), rows)];
    const horizontal = ["left", "middle", "right"][third(cell % cols, cols)];
    return this.say(`place_${vertical}_${horizontal}`);
  }
}

/**
 * @param {string} text
 * @param {Record<string, any>} values a placeholder without a value stays as it is
 */
function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(Object.hasOwn(values, name) ? values[name] : whole));
}
