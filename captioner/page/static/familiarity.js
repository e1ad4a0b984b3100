// Familiarity: how like its training photos the model finds a photo, on three levels.

/** @typedef {"like" | "unlike" | "strange"} Level */

// Of 300 val photos, 261 are "like", 22 "unlike" and 17 "strange"; of 150 photos of things that no
// training caption names, 14, 24 and 112. The first limit tells the two apart best; below the
// second lies about one val photo in 20.
const UNLIKE_BELOW = 0.1;
const STRANGE_BELOW = 0.03;

/** @param {number} familiarity the share of training photos that are less like the others @returns {Level} */
export function levelOf(familiarity) {
  if (familiarity < STRANGE_BELOW) return "strange";
  return familiarity < UNLIKE_BELOW ? "unlike" : "like";
}

/** Whether to believe little. @param {number | null | undefined} familiarity */
export function isStrange(familiarity) {
  return typeof familiarity === "number" && levelOf(familiarity) === "strange";
}

/** @param {number} familiarity @param {import("./texts.js").Texts} texts */
export function describeFamiliarity(familiarity, texts) {
  const level = levelOf(familiarity);
  if (level !== "strange") return texts.say(level === "like" ? "photo_like" : "photo_unlike");
  const count = Math.round(100 * (1 - familiarity));
  return texts.say(count < 100 ? "photo_strange" : "photo_strangest", { count });
}
