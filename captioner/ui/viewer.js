// The viewer: shows what props.value holds, and steps through its words without the server.
//
// props.value is empty, or {looking, photo} while the model works, or {message}, or
// {photo, caption} with the caption as the /caption endpoint gives it. Words come from a
// checkpoint, so they reach the page through textContent alone.

const STEP_MS = 1000;
const FADE_MS = 160;
const HEAT_SIDE = 192;
// Viridis: sixth-degree fit, constant term first, of red, green and blue over 0 to 1.
const VIRIDIS = [
  [0.27773, 0.00541, 0.3341], [0.10509, 1.40461, 1.38459], [-0.33086, 0.21485, 0.0951],
  [-4.63423, -5.7991, -19.33244], [6.22827, 14.17993, 56.69055],
  [4.77638, -13.74515, -65.35303], [-5.43546, 4.64585, 26.31243],
];
const COLOURS = Array.from({ length: 256 }, (_, level) =>
  [0, 1, 2].map((channel) => {
    const value = VIRIDIS.reduceRight((sum, term) => (sum * level) / 255 + term[channel], 0);
    return Math.round(255 * Math.min(1, Math.max(0, value)));
  }),
);
const stillness = window.matchMedia("(prefers-reduced-motion: reduce)");

const find = (selector) => element.querySelector(selector);
const viewer = find(".viewer");
const list = find(".words");
const stage = find(".stage");
const canvas = find("canvas");
const slider = find(".slider");
const playButton = find(".play");

let words = [];
let current = 0;
let image = null;
let heat = null; // the grid on the canvas, flat: that of the current word, or between two
let turn = 0; // counts values, so that a photo which loads late is not drawn over a newer one
let frame = 0;
let timer = 0;

// ---- what there is to show ----

function show() {
  const value = props.value || {};
  turn += 1;
  pause();
  if (value.caption) showCaption(value);
  else if (value.message) showMessage("failed", "No caption", value.message);
  else if (value.looking) showMessage("looking", "Looking…", "Looking…", value.photo);
  else showMessage("empty", "The caption appears here.", "No photo yet");
}

function showMessage(state, lead, message, photo) {
  viewer.dataset.state = state;
  words = [];
  image = heat = null;
  find(".lead").textContent = lead;
  find(".message").textContent = message;
  list.hidden = true;
  list.replaceChildren();
  find(".transport").disabled = true;
  slider.max = slider.value = 1;
  find(".count").textContent = "";
  canvas.removeAttribute("data-word");
  canvas.setAttribute("aria-label", state === "looking" ? "Your photo" : "No photo yet");
  announce(state === "empty" ? "" : message);
  draw();
  if (photo) loadPhoto(photo);
  if (state === "looking") bringIntoView();
}

// On a phone the viewer lies below the photo and the examples.
function bringIntoView() {
  if (viewer.getBoundingClientRect().top < window.innerHeight / 3) return;
  viewer.scrollIntoView({ behavior: stillness.matches ? "auto" : "smooth", block: "start" });
}

function showCaption({ photo, caption }) {
  viewer.dataset.state = "done";
  words = caption.words;
  heat = null;
  list.replaceChildren(...words.map(option));
  list.hidden = words.length === 0;
  find(".lead").textContent = words.length ? "" : "The model has no words for this photo.";
  find(".transport").disabled = words.length === 0;
  slider.max = Math.max(1, words.length);
  announce(`Caption: ${caption.caption}`);
  go(0);
  loadPhoto(photo);
}

function option(word, index) {
  const chip = document.createElement("span");
  chip.setAttribute("role", "option");
  chip.dataset.index = index;
  chip.style.setProperty("--sure", word.probability);
  chip.textContent = word.text;
  chip.setAttribute("aria-label", `${word.text}, ${percent(word.probability)}`);
  return chip;
}

function loadPhoto(file) {
  const asked = turn;
  const photo = new Image();
  photo.onload = () => {
    if (asked !== turn) return;
    image = photo;
    draw();
  };
  photo.src = file.url;
}

// ---- stepping ----

function go(index, focus = false) {
  if (!words.length) return;
  current = Math.min(words.length - 1, Math.max(0, index));
  const word = words[current];
  for (const chip of list.children) {
    const chosen = Number(chip.dataset.index) === current;
    chip.setAttribute("aria-selected", chosen);
    chip.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) chip.focus();
  }
  const place = `${current + 1} of ${words.length}`;
  find(".place").textContent = `Word ${place}`;
  find(".word").textContent = word.text;
  find(".sure b").textContent = `${percent(word.probability)} sure`;
  find(".sure i").style.width = `${100 * word.probability}%`;
  find(".count").textContent = `${current + 1} / ${words.length}`;
  find(".alternatives").replaceChildren(...word.alternatives.map(alternative));
  slider.value = current + 1;
  slider.setAttribute("aria-valuetext", `${word.text}, word ${place}`);
  canvas.setAttribute(
    "aria-label",
    `Your photo, with where the model looked for “${word.text}”: most at the ${peak(word.alpha)}`,
  );
  fadeTo(word.alpha.flat());
}

function alternative([text, probability]) {
  const item = document.createElement("li");
  item.append(...["span", "b", "i"].map((tag) => document.createElement(tag)));
  item.children[0].textContent = text;
  item.children[1].textContent = percent(probability);
  item.children[2].style.width = `${100 * probability}%`;
  return item;
}

function step(by, said = true) {
  pause();
  go(current + by);
  if (said && words.length) announce(find(".word").textContent);
}

function play() {
  if (!words.length) return;
  if (current === words.length - 1) go(0);
  playButton.setAttribute("aria-label", "Pause");
  viewer.dataset.playing = "";
  timer = setInterval(() => {
    go(current + 1, document.activeElement?.parentElement === list);
    if (current === words.length - 1) pause();
  }, STEP_MS);
}

function pause() {
  clearInterval(timer);
  timer = 0;
  playButton.setAttribute("aria-label", "Play");
  delete viewer.dataset.playing;
}

const toggle = () => (timer ? pause() : play());

// ---- drawing ----

function fadeTo(target) {
  cancelAnimationFrame(frame);
  canvas.removeAttribute("data-word");
  const from = heat;
  const start = performance.now();
  const mix = (now) => {
    const part = from && !stillness.matches ? Math.min(1, (now - start) / FADE_MS) : 1;
    heat = part < 1 ? target.map((value, i) => from[i] + part * (value - from[i])) : target;
    draw();
    if (part < 1) frame = requestAnimationFrame(mix);
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
  if (!heat) return;
  context.drawImage(heatMap(heat, words[current].alpha), 0, 0, canvas.width, canvas.height);
  if (words[current].alpha.flat().every((value, i) => value === heat[i])) {
    canvas.dataset.word = current; // the fade is over
  }
}

// The grid, enlarged and coloured. It covers the whole photo, whatever the photo's shape.
function heatMap(values, { length: rows, 0: { length: cols } }) {
  const across = cubicWeights(cols);
  const down = cubicWeights(rows);
  const smooth = new Float32Array(HEAT_SIDE * HEAT_SIDE);
  for (let y = 0; y < HEAT_SIDE; y += 1) {
    const line = new Float32Array(cols);
    for (const [row, weight] of down[y]) {
      for (let col = 0; col < cols; col += 1) line[col] += weight * values[row * cols + col];
    }
    for (let x = 0; x < HEAT_SIDE; x += 1) {
      let sum = 0;
      for (const [col, weight] of across[x]) sum += weight * line[col];
      smooth[y * HEAT_SIDE + x] = Math.max(0, sum);
    }
  }
  return colour(smooth);
}

// For each pixel, the cells around it and their shares (Catmull-Rom, as the library enlarges).
function cubicWeights(cells) {
  return Array.from({ length: HEAT_SIDE }, (_, pixel) => {
    const centre = ((pixel + 0.5) / HEAT_SIDE) * cells - 0.5;
    const first = Math.floor(centre) - 1;
    const near = [0, 1, 2, 3].map((i) => first + i).filter((cell) => cell >= 0 && cell < cells);
    const shares = near.map((cell) => cubic(Math.abs(centre - cell)));
    const total = shares.reduce((sum, share) => sum + share, 0);
    return near.map((cell, i) => [cell, shares[i] / total]);
  });
}

function cubic(distance) {
  if (distance < 1) return 1.5 * distance ** 3 - 2.5 * distance ** 2 + 1;
  if (distance < 2) return -0.5 * distance ** 3 + 2.5 * distance ** 2 - 4 * distance + 2;
  return 0;
}

function colour(smooth) {
  const low = smooth.reduce((least, value) => Math.min(least, value));
  const high = smooth.reduce((most, value) => Math.max(most, value));
  const scale = high - low < 1e-9 ? 0 : 255 / (high - low);
  const sheet = document.createElement("canvas");
  sheet.width = sheet.height = HEAT_SIDE;
  const context = sheet.getContext("2d");
  const pixels = context.createImageData(HEAT_SIDE, HEAT_SIDE);
  smooth.forEach((value, i) => {
    const level = Math.round((value - low) * scale);
    pixels.data.set([...COLOURS[level], 150 - 0.12 * level], 4 * i);
  });
  context.putImageData(pixels, 0, 0);
  return sheet;
}

// ---- words for numbers and places ----

function percent(probability) {
  if (probability > 0 && probability < 0.01) return "under 1%";
  return `${Math.round(100 * probability)}%`;
}

function peak(alpha) {
  const flat = alpha.flat();
  const best = flat.indexOf(Math.max(...flat));
  const third = (cell, cells) => Math.floor((3 * (cell + 0.5)) / cells);
  const vertical = ["upper", "", "lower"][third(Math.floor(best / alpha[0].length), alpha.length)];
  const horizontal = ["left", "", "right"][third(best % alpha[0].length, alpha[0].length)];
  return [vertical, horizontal || (vertical ? "middle" : "centre")].filter(Boolean).join(" ");
}

function announce(text) {
  find(".announcer").textContent = text;
}

// ---- what a visitor does ----

element.addEventListener("click", ({ target }) => {
  const chip = target.closest("[role=option]");
  if (chip) {
    pause();
    go(Number(chip.dataset.index), true);
  } else if (target.closest(".previous")) step(-1);
  else if (target.closest(".next")) step(1);
  else if (target.closest(".play")) toggle();
  else if (target.closest(".stage")) list.querySelector("[tabindex='0']")?.focus();
});

slider.addEventListener("input", () => {
  pause();
  go(Number(slider.value) - 1);
});

element.addEventListener("keydown", (event) => {
  if (!words.length || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target === slider && event.key !== " ") return; // it steps by itself
  const places = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: words.length - 1 };
  if (event.key in places) {
    pause();
    go(places[event.key], event.target.closest("[role=option]") !== null);
  } else if (event.key === " " && !event.target.closest("button")) toggle();
  else return;
  event.preventDefault();
});

new ResizeObserver(draw).observe(stage);
watch("value", show);
show();
