// Telling: everything that asks the server for words. One question is under way at a time, and
// an answer counts only if no newer question of its kind, and no other photo, has come since.

const PATIENCE_MS = 60_000;
const SETTLE_MS = 300;
const QUIET = ["animation", "occlusion"]; // questions that leave the words as they are
const form = find(".settings form");
const SETTINGS = [...form.querySelectorAll("input[type=range]")].map((input) => input.name);

let asked = 0; // counts questions
let pending = null;
let waiting = [];
let seed = 0;
let settling = 0;

function ask(kind, question, done, refused = remark) {
  waiting = waiting.filter((other) => other.kind !== kind);
  asked += 1;
  waiting.push({ id: asked, kind, question, done, refused, turn });
  if (!pending) sendNext();
}

function sendNext() {
  pending = waiting.shift() ?? null;
  viewer.toggleAttribute("data-busy", pending !== null && !QUIET.includes(pending.kind));
  if (!pending) return;
  const { id, kind, question } = pending;
  awaitAnswer();
  trigger("ask", { id, kind, ...question });
}

function awaitAnswer() {
  const { id } = pending;
  clearTimeout(pending.timer);
  pending.timer = setTimeout(() => answered({ id, message: say("fault") }), PATIENCE_MS);
}

// Called with each answer; one without an id ends the question under way, such as a fault.
function answered(answer) {
  const question = pending;
  if (!question || (answer.id ?? question.id) !== question.id) return;
  if (answer.waiting) {
    awaitAnswer();
    if (question.turn === turn) find(".origin").textContent = placeInLine(answer.waiting);
    return;
  }
  clearTimeout(question.timer);
  const newer = waiting.some((other) => other.kind === question.kind);
  sendNext();
  if (question.turn !== turn || newer) return;
  if (answer.message) question.refused(translated(answer.message));
  else question.done(answer);
}

function remark(message) {
  find(".origin").textContent = message;
  find(".story").dataset.trouble = "";
  announce(message);
}

// ---- captions, and the way back ----

// Shows another caption of the same photo. What was there can be had back.
function load(caption, origin, index = 0) {
  history.push({ told, current, origin: told.origin });
  show({ ...caption, origin }, index);
}

function show(caption, index) {
  pause();
  stopAsking();
  told = caption;
  showWords();
  go(index);
  showStory();
  showOthers();
  announce(say("caption_is", { caption: told.caption }));
  if (look.source === "needed") measure();
}

function showStory() {
  delete find(".story").dataset.trouble;
  const count = choices(told.perplexity);
  find(".unsure").textContent = words().length ? say("hesitates", { count }) : "";
  find(".origin").textContent = told.origin;
  find(".undo").hidden = history.length === 0;
  find(".restore").hidden = history.length < 2;
}

function goBack(steps) {
  const kept = history.splice(history.length - steps)[0];
  if (!kept) return;
  show(kept.told, kept.current);
  list.querySelector("[tabindex='0']")?.focus();
}

function branch(word) {
  const position = current;
  const old = words()[position]?.text;
  find(".origin").textContent = say("telling");
  ask("branch", { caption: plain(told), position, word, options: options() }, ({ caption }) => {
    load(caption, say(old ? "origin_branch_for" : "origin_branch", { word, old }), position);
    list.querySelector("[tabindex='0']")?.focus();
  });
}

const plain = ({ origin, occlusion, ...caption }) => caption;

// ---- the visitor's own words ----

function scoreOwn() {
  const text = find(".own input").value.trim();
  if (!text) return judge(say("own_empty"), true);
  const refused = (message) => judge(message, true);
  ask("score", { text, options: {} }, ({ caption }) => {
    load(caption, say("origin_words"));
    const unknown = caption.words.filter((word) => !word.known).map((word) => word.text);
    const values = { yours: choices(caption.perplexity), own: choices(captions[0].perplexity) };
    const verdict = say("own_unsure", values);
    judge(unknown.length ? `${verdict} ${say("own_unknown", { words: unknown.join(", ") })}` : verdict);
  }, refused);
}

function judge(text, trouble = false) {
  find(".verdict").textContent = text;
  find(".verdict").toggleAttribute("data-trouble", trouble);
  if (text) announce(text);
}

// ---- more captions, and how they are found ----

function showOthers() {
  const others = find(".others");
  others.replaceChildren(...captions.map(other));
  if (captions.length) return;
  const item = document.createElement("li");
  item.textContent = say("more_empty");
  others.append(item);
}

function other(caption, index) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.caption = index;
  button.append(...["span", "b"].map((tag) => document.createElement(tag)));
  const score = twoDecimals.format(caption.score);
  button.children[0].textContent = caption.caption;
  button.children[0].lang = "en";
  button.children[1].textContent = say("score", { value: score });
  button.setAttribute("aria-label", say("more_load", { caption: caption.caption, score, value: score }));
  button.setAttribute("aria-current", told?.caption === caption.caption);
  item.append(button);
  return item;
}

function choose(index) {
  if (told.caption === captions[index].caption) return;
  load(captions[index], say("origin_list"));
  find(`[data-caption="${index}"]`).focus();
}

// Only what matters to the way chosen: the server refuses a top p without chance.
function options() {
  const draws = form.elements.way.value === "draw";
  const wanted = SETTINGS.filter((name) => {
    const way = form.elements[name].closest("label").dataset.way;
    return !way || way === form.elements.way.value;
  });
  const chosen = Object.fromEntries(wanted.map((name) => [name, Number(form.elements[name].value)]));
  return draws ? { ...chosen, seed } : chosen;
}

const untouched = () =>
  form.elements.way.value === "search" &&
  SETTINGS.every((name) => form.elements[name].value === form.elements[name].defaultValue);

function showSettings() {
  const way = form.elements.way.value;
  for (const label of form.querySelectorAll("[data-way]")) label.hidden = label.dataset.way !== way;
  find(".again").hidden = way !== "draw";
  for (const name of SETTINGS) {
    const input = form.elements[name];
    input.closest("label").querySelector("b").textContent = oneOrTwo(input.value);
  }
}

const oneOrTwo = (value) => new Intl.NumberFormat(language).format(value);

function settingsChanged() {
  showSettings();
  if (!told) return;
  clearTimeout(settling);
  settling = setTimeout(findCaptions, SETTLE_MS);
}

function findCaptions() {
  if (!told) return;
  find(".origin").textContent = say("finding");
  ask("captions", { options: options() }, (answer) => {
    captions = answer.captions;
    const origin = say(untouched() ? "origin_own" : "origin_settings");
    // One step back undoes all turning of knobs at once.
    if (told.origin === say("origin_settings")) show({ ...captions[0], origin }, 0);
    else load(captions[0], origin);
  });
}

// ---- what each word needed ----

function measure() {
  if (!told || told.occlusion || !words().length) return;
  const caption = told;
  find(".evidence").textContent = say("measuring");
  ask("occlusion", { caption: plain(caption) }, ({ occlusion }) => {
    caption.occlusion = occlusion;
    if (told === caption && look.source === "needed") showLook();
  });
}

// What can be said of the map in plain words.
function evidence(index, map) {
  const best = peakOf(map);
  const place = placeName(best, map.rows, map.cols);
  if (look.source !== "needed") {
    const share = map.cells[best];
    const times = oneDecimal.format(share * map.cells.length);
    return say("peak_share", { place, percent: finePercent(share), times });
  }
  if (!told.occlusion) return say("measuring");
  const agreement = told.occlusion.agreements[index];
  const verdict = [[0.6, "agree_well"], [0.3, "agree_partly"], [-0.1, "agree_little"]].find(
    ([least]) => agreement >= least,
  )?.[1] ?? "agree_not";
  const points = oneDecimal.format(100 * map.cells[best]);
  const need = map.cells[best] > 0 ? say("need_most", { place, points }) : say("need_nothing");
  const value = twoDecimals.format(agreement);
  return `${say("agree_value", { verdict: say(verdict), value })} ${need}`;
}
