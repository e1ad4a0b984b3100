// Asking the photo: a place on it is chosen, and the words light up by how much they looked there.

const MOST_LOOKERS = 6;

let asking = null; // the cell asked about, in reading order

function cellAt(event) {
  const box = canvas.getBoundingClientRect();
  const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  if (x < 0 || x >= 1 || y < 0 || y >= 1) return null;
  const [rows, cols] = told.grid;
  return Math.floor(y * rows) * cols + Math.floor(x * cols);
}

// The attention of every word on a cell, most first.
function lookersAt(cell) {
  const cols = told.grid[1];
  return words()
    .map((word, index) => ({ word, index, share: word.alpha[Math.floor(cell / cols)][cell % cols] }))
    .sort((one, other) => other.share - one.share);
}

function askPlace(cell) {
  if (cell === null || !words().length) return stopAsking();
  pause();
  peeked = null;
  asking = cell;
  const [rows, cols] = told.grid;
  const lookers = lookersAt(cell);
  const place = placeName(cell, rows, cols);
  lightUp(lookers);
  find(".reading").hidden = true;
  find(".asked").hidden = false;
  find(".spot").textContent = say("asked_place", { place });
  find(".lookers").replaceChildren(...lookers.slice(0, MOST_LOOKERS).map((item) => looker(item, lookers[0].share)));
  find(".share").textContent = say("asked_note", { count: rows * cols, percent: finePercent(1 / (rows * cols)) });
  announce(
    say("asked_said", {
      place,
      words: lookers.slice(0, 3).map(({ word, share }) => `${word.text}, ${finePercent(share)}`).join("; "),
    }),
  );
  draw();
}

function looker({ word, index, share }, most) {
  const values = { word: word.text, percent: finePercent(share) };
  const part = bar(word.text, share / (most || 1), values.percent, say("asked_jump", values));
  part.firstChild.dataset.index = index;
  return part;
}

function lightUp(lookers) {
  list.dataset.asked = "";
  // From least to most, as the maps are drawn; the numbers say how little that may be.
  const [most, least] = [lookers[0].share, lookers.at(-1).share];
  for (const { word, index, share } of lookers) {
    const part = list.children[index];
    part.style.setProperty("--looked", most > least ? (share - least) / (most - least) : 0);
    part.dataset.percent = finePercent(share);
    part.setAttribute("aria-label", say("chip_asked", { word: word.text, percent: finePercent(share) }));
  }
}

function stopAsking() {
  if (asking === null) return;
  asking = null;
  delete list.dataset.asked;
  find(".asked").hidden = true;
  find(".reading").hidden = false;
  words().forEach((word, index) => {
    const part = list.children[index];
    part.dataset.percent = percent(word.probability);
    part.setAttribute("aria-label", chipLabel(word));
  });
  draw();
}

function moveAsking(key) {
  const [rows, cols] = told.grid;
  const from = asking ?? peakOf(mapOf(words()[current].alpha));
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const [down, across] = asking === null ? [0, 0] : moves[key];
  const row = Math.min(rows - 1, Math.max(0, Math.floor(from / cols) + down));
  const col = Math.min(cols - 1, Math.max(0, (from % cols) + across));
  askPlace(row * cols + col);
}

// What a focused photo does with a key; whether it did anything.
function askByKey(key) {
  if (key.startsWith("Arrow")) moveAsking(key);
  else if (key === "Enter") asking === null ? moveAsking() : go(lookersAt(asking)[0].index, true);
  else if (key === "Escape" && asking !== null) stopAsking();
  else return false;
  return true;
}
