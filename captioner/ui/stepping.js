// Stepping: which word is the current one, and all that shows it. The server is not asked.

const STEP_MS = 1000;
const FADE_MS = 160;
const NOTHING = 0.001; // of probability: less than this was not needed
const LEAST_NEED = 0.02; // of probability: a smaller need is not drawn as if it were large
const CHIP_SIZES = [20, 18, 16, 14];

let current = 0;
let peeked = null; // the word under the mouse, shown as long as it stays there
let heat = null; // the cells on the canvas: those of the word shown, or between two words'
let frame = 0;
let timer = 0;

const words = () => told?.words ?? [];
const shownIndex = () => peeked ?? current;

function showWords() {
  list.replaceChildren(...words().map(chip));
  list.hidden = words().length === 0;
  find(".lead").textContent = words().length ? "" : say("no_words");
  find(".transport").disabled = find(".look").disabled = words().length === 0;
  stage.tabIndex = words().length ? 0 : -1;
  slider.max = Math.max(1, words().length);
  fitChips();
  showFilm();
}

function chip(word, index) {
  const part = document.createElement("span");
  part.setAttribute("role", "option");
  part.dataset.index = index;
  part.dataset.percent = percent(word.probability);
  part.style.setProperty("--sure", word.probability);
  part.textContent = word.text;
  part.setAttribute("aria-label", chipLabel(word));
  part.toggleAttribute("data-unknown", !word.known);
  return part;
}

function chipLabel(word) {
  return say(word.known ? "chip" : "chip_unknown", {
    word: word.text,
    percent: percent(word.probability),
  });
}

// A long caption in smaller letters, so that what lies below it stays where it is.
function fitChips() {
  const box = find(".caption");
  for (const size of CHIP_SIZES) {
    list.style.setProperty("--chip", `${size}px`);
    if (list.offsetHeight <= parseFloat(getComputedStyle(box).minHeight)) return;
  }
}

function go(index, focus = false) {
  if (!words().length) return;
  stopAsking();
  markPeeked(null);
  peeked = null;
  current = Math.min(words().length - 1, Math.max(0, index));
  for (const part of [...list.children, ...film.children]) {
    const chosen = Number(part.dataset.index) === current;
    part.tabIndex = chosen ? 0 : -1;
    if (part.parentElement === list) part.setAttribute("aria-selected", chosen);
    else part.setAttribute("aria-current", chosen);
    if (chosen && focus && part.parentElement === list) part.focus();
    if (chosen) keepInSight(part);
  }
  find(".count").textContent = `${current + 1} / ${words().length}`;
  slider.value = current + 1;
  const word = { word: words()[current].text, place: current + 1, count: words().length };
  slider.setAttribute("aria-valuetext", say("slider_word", word));
  showWord();
}

// Within the film alone: the page does not move.
function keepInSight(part) {
  if (part.parentElement !== film) return;
  const [left, right] = [part.offsetLeft, part.offsetLeft + part.offsetWidth];
  if (left < film.scrollLeft || right > film.scrollLeft + film.clientWidth) {
    film.scrollLeft = left - (film.clientWidth - part.offsetWidth) / 2;
  }
}

function peek(index) {
  markPeeked(index);
  if (index === peeked || asking !== null) return;
  peeked = index;
  if (words().length) showWord();
}

function markPeeked(index) {
  for (const part of list.children) {
    part.toggleAttribute("data-peeked", Number(part.dataset.index) === index);
  }
}

function showWord() {
  const index = shownIndex();
  const word = words()[index];
  find(".place").textContent = say("word_of", { place: index + 1, count: words().length });
  find(".word").textContent = word.text;
  find(".sure b").textContent = say(word.known ? "sure" : "sure_any", {
    percent: percent(word.probability),
  });
  find(".sure i").style.width = `${100 * word.probability}%`;
  find(".alternatives").replaceChildren(...word.alternatives.map(alternative));
  const map = shownMap(index);
  find(".evidence").textContent = evidence(index, map);
  canvas.setAttribute("aria-label", mapLabel(word, map));
  fadeTo(map.cells);
}

function alternative([text, probability]) {
  const values = { word: text, percent: percent(probability) };
  const part = bar(text, probability, values.percent, say("tell_with", values));
  part.firstChild.dataset.alternative = text;
  return part;
}

// A line of a bar list: a button with a word, a number, and a bar as long as the number.
function bar(text, share, number, label) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.append(...["span", "b", "i"].map((tag) => document.createElement(tag)));
  button.children[0].textContent = text;
  button.children[1].textContent = number;
  button.children[2].style.width = `${100 * Math.min(1, share)}%`;
  button.setAttribute("aria-label", label);
  item.append(button);
  return item;
}

function step(by, said = true) {
  pause();
  go(current + by);
  if (said && words().length) announce(words()[current].text);
}

function play() {
  if (!words().length) return;
  if (current === words().length - 1) go(0);
  playButton.setAttribute("aria-label", say("pause"));
  viewer.dataset.playing = "";
  timer = setInterval(() => {
    go(current + 1, document.activeElement?.parentElement === list);
    if (current === words().length - 1) pause();
  }, STEP_MS);
}

function pause() {
  clearInterval(timer);
  timer = 0;
  playButton.setAttribute("aria-label", say("play"));
  delete viewer.dataset.playing;
}

const toggle = () => (timer ? pause() : play());

// ---- the map of a word, on the photo and on the film ----

// Where the model looked, or what it needed, once that has been measured.
function shownMap(index) {
  const word = words()[index];
  if (look.source !== "needed" || !told.occlusion) return mapOf(word.alpha);
  const map = mapOf(told.occlusion.drops[index]);
  const cells = map.cells.map((drop) => (drop < NOTHING ? 0 : drop));
  return { ...map, cells, least: LEAST_NEED };
}

function mapLabel(word, map) {
  const best = peakOf(map);
  const values = { word: word.text, place: placeName(best, map.rows, map.cols) };
  if (look.source !== "needed" || !told.occlusion) return say("map_for", values);
  return say(map.cells[best] > 0 ? "map_needed_for" : "map_needed_nowhere", values);
}

function fadeTo(target) {
  cancelAnimationFrame(frame);
  canvas.removeAttribute("data-word");
  const from = heat?.length === target.length ? heat : null;
  const start = performance.now();
  const mix = (now) => {
    const part = from && !stillness.matches ? Math.min(1, (now - start) / FADE_MS) : 1;
    heat = part < 1 ? target.map((value, i) => from[i] + part * (value - from[i])) : target;
    draw();
    if (part < 1) frame = requestAnimationFrame(mix);
    else if (image) canvas.dataset.word = shownIndex();
  };
  mix(start);
}

function draw() {
  const box = stage.getBoundingClientRect();
  const wide = image ? image.naturalWidth : 4;
  const high = image ? image.naturalHeight : 3;
  const fit = Math.min(box.width / wide, box.height / high);
  const ratio = window.devicePixelRatio || 1;
  canvas.style.width = `${wide * fit}px`;
  canvas.style.height = `${high * fit}px`;
  canvas.width = Math.max(1, Math.round(wide * fit * ratio)); // clears it, too
  canvas.height = Math.max(1, Math.round(high * fit * ratio));
  if (!image) return;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  if (!heat || !words().length) return;
  const map = { ...shownMap(shownIndex()), cells: heat };
  if (asking === null) drawMap(context, canvas.width, canvas.height, map, look);
  else markCell(context, canvas.width, canvas.height, map, asking);
}

function showFilm() {
  film.replaceChildren(
    ...words().map((word, index) => {
      const part = document.createElement("button");
      part.type = "button";
      part.dataset.index = index;
      part.setAttribute("aria-label", say("thumb", { word: word.text, place: index + 1 }));
      const name = document.createElement("span");
      name.textContent = word.text;
      part.append(document.createElement("canvas"), name);
      return part;
    }),
  );
  drawFilm();
}

// As large as there is room for all of them, down to a size at which the rest has to be scrolled to.
function drawFilm() {
  if (!image || !words().length) return;
  const ratio = window.devicePixelRatio || 1;
  const shape = Math.min(2, Math.max(0.5, image.naturalWidth / image.naturalHeight));
  const room = film.clientWidth / words().length - 4.5;
  const wide = Math.max(Math.min(64 * shape, room), 40);
  const high = Math.min(64, wide / shape);
  for (const part of film.children) {
    const small = part.firstChild;
    [small.width, small.height] = [Math.round(wide * ratio), Math.round(high * ratio)];
    small.style.width = part.style.width = `${wide}px`;
    small.style.height = `${high}px`;
    const context = small.getContext("2d");
    context.drawImage(image, 0, 0, small.width, small.height);
    const map = shownMap(Number(part.dataset.index));
    drawMap(context, small.width, small.height, map, { ...look, peak: false }, 48);
  }
}
