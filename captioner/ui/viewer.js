// The viewer's beginning and end of everything: what there is to show, and what a visitor does.
//
// props.value is empty, or {looking, of, photo} while the model works, or {waiting, of} while the
// photo waits for it, or {message, of}, or
// {of, name, photo, captions} with captions as the /caption endpoint gives them, best first, or
// {answer, animation} to what this viewer has asked. `of` names the photo as the page's photo input does.
// Words and names come from outside: they reach the page through textContent alone.

function receive() {
  const value = props.value || {};
  if (value.answer) answered({ ...value.answer, animation: value.animation });
  else if (value.captions) receiveCaptions(value);
  else if (value.message) receiveMessage(value);
  else if (value.waiting) receiveWaiting(value);
  else if (value.looking) showMessage("looking", say("looking"), say("looking"), value);
  else showMessage("empty", say("empty_lead"), say("empty_photo"), {});
}

function receiveMessage(value) {
  const late = (value.of ?? photoOf) !== photoOf; // of a photo that has gone since
  if (late || viewer.dataset.state === "done") return; // an example is there without the server
  showMessage("failed", say("no_caption"), translated(value.message), { of: photoOf });
}

function receiveWaiting(value) {
  if (value.of !== photoOf || viewer.dataset.state !== "looking") return;
  find(".message").textContent = placeInLine(value.waiting);
  announce(find(".message").textContent);
}

function receiveCaptions(value) {
  // An example shows what it has at once; whatever else comes must be of the photo looked at.
  if (!value.example && value.of !== photoOf) return;
  if (viewer.dataset.state === "done" && value.of === photoOf && !value.example) {
    if (captions.length < value.captions.length && untouched()) captions = value.captions;
    return showOthers();
  }
  const found = value.of === photoOf ? captions : []; // of an example that is chosen once more
  startPhoto("done", value);
  captions = found.length ? found : value.captions;
  name = value.name;
  show({ ...value.captions[0], origin: say("origin_own") }, 0);
  setDisabled(words().length === 0);
  bringIntoView();
  if (!untouched()) findCaptions();
}

function showMessage(state, lead, message, value) {
  startPhoto(state, value);
  list.hidden = true;
  list.replaceChildren();
  film.replaceChildren();
  find(".lead").textContent = lead;
  find(".message").textContent = message;
  for (const part of [".count", ".origin", ".unsure"]) find(part).textContent = "";
  find(".undo").hidden = find(".restore").hidden = true;
  find(".transport").disabled = find(".look").disabled = true;
  stage.tabIndex = -1;
  slider.max = slider.value = 1;
  setDisabled(true);
  showOthers();
  canvas.setAttribute("aria-label", say(state === "looking" ? "your_photo" : "empty_photo"));
  announce(state === "empty" ? "" : message);
  draw();
  if (state === "looking") bringIntoView();
}

// Forgets all about the photo before.
function startPhoto(state, { of, photo }) {
  turn += 1;
  pause();
  stopAsking();
  viewer.dataset.state = state;
  photoOf = of;
  told = image = heat = null;
  captions = [];
  history = [];
  name = "";
  canvas.removeAttribute("data-word");
  snippet.hidden = true;
  find(".taken").textContent = "";
  judge(state === "done" || state === "empty" ? say("own_note") : "");
  if (photo) loadPhoto(photo);
}

function setDisabled(disabled) {
  find(".take fieldset").disabled = disabled;
  for (const part of find(".own .field").children) part.disabled = disabled;
}

// On a phone the viewer lies below the photo and the examples.
function bringIntoView() {
  if (viewer.getBoundingClientRect().top < window.innerHeight / 3) return;
  viewer.scrollIntoView({ behavior: stillness.matches ? "auto" : "smooth", block: "start" });
}

function loadPhoto(file) {
  const of = turn;
  const photo = new Image();
  photo.onload = () => {
    if (of !== turn) return;
    image = photo;
    draw();
    drawFilm();
    if (words().length) canvas.dataset.word = shownIndex();
  };
  photo.src = file.url;
}

function showLook() {
  viewer.dataset.palette = look.palette;
  find(".most").textContent = say(look.source === "needed" ? "more_needed" : "more_attention");
  if (!words().length) return;
  if (look.source === "needed") measure();
  showWord();
  drawFilm();
}

// ---- what a visitor does ----

const BUTTONS = {
  ".previous": () => step(-1),
  ".next": () => step(1),
  ".play": toggle,
  ".undo": () => goBack(1),
  ".restore": () => goBack(history.length),
  ".end": () => {
    stopAsking();
    stage.focus();
  },
  ".again": () => {
    seed += 1;
    findCaptions();
  },
};

element.addEventListener("click", (event) => {
  const { target } = event;
  const place = target.closest("[data-index]");
  const word = target.closest("[data-alternative]");
  const caption = target.closest("[data-caption]");
  const take = target.closest("[data-take]");
  const button = Object.keys(BUTTONS).find((selector) => target.closest(selector));
  if (button) BUTTONS[button]();
  else if (word) branch(word.dataset.alternative);
  else if (caption) choose(Number(caption.dataset.caption));
  else if (take) TAKE[take.dataset.take]();
  else if (place) {
    pause();
    go(Number(place.dataset.index), true);
  } else if (target.closest(".stage") && words().length) {
    const cell = cellAt(event);
    askPlace(cell === asking ? null : cell);
  }
});

for (const strip of [list, film]) {
  let place = ""; // of the mouse: a strip that moves under a mouse at rest is not hovered over
  strip.addEventListener("pointermove", (event) => {
    const part = event.target.closest("[data-index]");
    const moved = place !== (place = `${event.clientX} ${event.clientY}`);
    if (moved && part && event.pointerType === "mouse" && !timer) peek(Number(part.dataset.index));
  });
  strip.addEventListener("pointerleave", () => peek(null));
}

slider.addEventListener("input", () => {
  pause();
  go(Number(slider.value) - 1);
});

find(".look").addEventListener("input", ({ target }) => {
  look = { ...look, [target.name]: target.type === "range" ? target.value / 100 : target.value };
  showLook();
});

form.addEventListener("input", settingsChanged);
form.addEventListener("reset", () => setTimeout(settingsChanged));
form.addEventListener("submit", (event) => event.preventDefault());
find(".own form").addEventListener("submit", (event) => {
  event.preventDefault();
  scoreOwn();
});

element.addEventListener("keydown", (event) => {
  if (!words().length || event.altKey || event.ctrlKey || event.metaKey) return;
  const { key, target } = event;
  if (target !== slider && target.closest("input, textarea, summary")) return;
  if (target === slider && key !== " ") return; // it steps by itself
  const places = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: words().length - 1 };
  if (target === stage && askByKey(key)) event.preventDefault();
  else if (key === "Escape" && asking !== null) stopAsking();
  else if (key in places) {
    pause();
    go(places[key], target.closest("[role=option]") !== null);
    event.preventDefault();
  } else if (key === " " && !target.closest("button")) {
    toggle();
    event.preventDefault();
  }
});

fillTexts();
showSettings();
showLook();
new ResizeObserver(() => {
  draw();
  drawFilm();
  fitChips();
}).observe(stage);
watch("value", receive);
receive();
