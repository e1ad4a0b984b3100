// Texts: TEXTS, which viewer.py puts before this, in the language of the browser.

const language = navigator.language.toLowerCase().startsWith("fr") ? "fr" : "en";
const wholePercent = new Intl.NumberFormat(language, { style: "percent" });
const finerPercent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
const oneDecimal = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const twoDecimals = new Intl.NumberFormat(language, {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
});

function say(key, values = {}) {
  return TEXTS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// The server speaks English; what it says to visitors is told again in their language.
function translated(message) {
  for (const [pattern, text] of MESSAGES[language] ?? []) {
    const found = message.match(new RegExp(pattern));
    if (found) return text.replace(/\{(\d)\}/g, (_, group) => found[group]);
  }
  return message;
}

function fillTexts() {
  viewer.lang = language;
  for (const part of element.querySelectorAll("[data-text]")) part.textContent = say(part.dataset.text);
  for (const part of element.querySelectorAll("[data-label]")) {
    part.setAttribute("aria-label", say(part.dataset.label));
  }
  for (const part of element.querySelectorAll("[data-placeholder]")) {
    part.placeholder = say(part.dataset.placeholder);
  }
}

function placeInLine({ before, seconds }) {
  return say(before ? "waiting" : "waiting_next", { before, seconds });
}

function percent(share) {
  if (share > 0 && share < 0.01) return say("under_one");
  return wholePercent.format(share);
}

// Of attention, which is spread over many places.
function finePercent(share) {
  return share < 0.1 ? finerPercent.format(share) : percent(share);
}

function choices(perplexity) {
  return oneDecimal.format(perplexity < 10 ? perplexity : Math.round(perplexity));
}

// In thirds of the photo, whatever its grid.
function placeName(cell, rows, cols) {
  const third = (index, count) => Math.floor((3 * (index + 0.5)) / count);
  const vertical = ["upper", "middle", "lower"][third(Math.floor(cell / cols), rows)];
  const horizontal = ["left", "middle", "right"][third(cell % cols, cols)];
  return say(`place_${vertical}_${horizontal}`);
}

function announce(text) {
  find(".announcer").textContent = text;
}
