// What each region is worth to a word: measured by hiding it, on the server, and put into words.

import { peakOf } from "./drawing.js";

// Of probability: where hiding any region costs less, a verdict would be on noise.
export const LEAST_LOSS = 0.05;
const AGREEMENTS = [
  { least: 0.6, key: "agree_well" },
  { least: 0.3, key: "agree_partly" },
  { least: -0.1, key: "agree_little" },
  { least: -Infinity, key: "agree_not" },
];

export class Importance {
  /** What is being measured. @type {import("./state.js").Shown | null} */
  #measured = null;

  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
  }

  /** Measure the importance for the caption shown, unless it has been. */
  measure() {
    const { state } = this.viewer;
    const { shown } = state;
    if (!shown || shown === this.#measured || shown.occlusion || !state.words.length || state.eyesClosed) return;
    this.#measured = shown;
    const done = (/** @type {import("./types.js").Answer} */ { occlusion }) => {
      shown.occlusion = occlusion ?? null;
      if (state.shown === shown && state.appearance.source === "importance") this.viewer.showAppearance();
    };
    const failed = (/** @type {string} */ message) => {
      this.#measured = null; // to be tried again
      this.#showAttention();
      this.viewer.showTrouble(message);
    };
    this.viewer.request("occlusion", { caption: shown.caption }, done, failed);
  }

  /** Go back to the maps that there are. */
  #showAttention() {
    this.viewer.findInput(".look [value=attention]").checked = true;
    this.viewer.state.changeAppearance({ source: "attention" });
    this.viewer.showAppearance();
  }

  /**
   * What a word's map shows, in a sentence.
   * @param {number} index
   * @param {import("./drawing.js").RegionMap} map
   */
  describe(index, map) {
    const { state, texts } = this.viewer;
    if (state.eyesClosed) return texts.say("looked_at_nothing");
    const best = peakOf(map);
    const place = texts.placeName(best, [map.rows, map.cols]);
    if (state.appearance.source === "attention") {
      const share = map.cells[best];
      const times = texts.oneDecimal.format(share * map.cells.length);
      return texts.say("peak_share", { place, percent: texts.finePercent(share), times });
    }
    const occlusion = state.drawnOcclusion;
    if (!occlusion) return texts.say("measuring");
    const points = texts.oneDecimal.format(100 * map.cells[best]);
    if (map.cells[best] <= LEAST_LOSS) return texts.say("importance_little", { points });
    const agreement = occlusion.agreements[index];
    const verdict = AGREEMENTS.find(({ least }) => agreement >= least) ?? AGREEMENTS[3];
    const value = texts.twoDecimals.format(agreement);
    const said = texts.say("agree_value", { verdict: texts.say(verdict.key), value });
    return `${said} ${texts.say("importance_most", { place, points })}`;
  }
}
