// What each region is worth to a word: measured by hiding it, on the server, and put into words.

import { peakOf } from "./drawing.js";

const AGREEMENTS = [
  { least: 0.6, key: "agree_well" },
  { least: 0.3, key: "agree_partly" },
  { least: -0.1, key: "agree_little" },
  { least: -Infinity, key: "agree_not" },
];

export class Importance {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
  }

  /** Measure the importance for the caption shown, unless it has been. */
  measure() {
    const { state, texts } = this.viewer;
    const { shown } = state;
    if (!shown || shown.occlusion || !state.words.length) return;
    this.viewer.find(".evidence").textContent = texts.say("measuring");
    this.viewer.request("occlusion", { caption: shown.caption }, ({ occlusion }) => {
      shown.occlusion = occlusion;
      if (state.shown === shown && state.appearance.source === "importance") this.viewer.showAppearance();
    });
  }

  /**
   * What a word's map shows, in a sentence.
   * @param {number} index
   * @param {import("./drawing.js").RegionMap} map
   */
  describe(index, map) {
    const { state, texts } = this.viewer;
    const best = peakOf(map);
    const place = texts.placeName(best, [map.rows, map.cols]);
    if (state.appearance.source === "attention") {
      const share = map.cells[best];
      const times = texts.oneDecimal.format(share * map.cells.length);
      return texts.say("peak_share", { place, percent: texts.finePercent(share), times });
    }
    const occlusion = state.drawnOcclusion;
    if (!occlusion) return texts.say("measuring");
    const agreement = occlusion.agreements[index];
    const verdict = AGREEMENTS.find(({ least }) => agreement >= least) ?? AGREEMENTS[3];
    const value = texts.twoDecimals.format(agreement);
    const points = texts.oneDecimal.format(100 * map.cells[best]);
    const most = map.cells[best] > 0 ? "importance_most" : "importance_nowhere";
    return `${texts.say("agree_value", { verdict: texts.say(verdict.key), value })} ${texts.say(most, { place, points })}`;
  }
}
