// Taking away: text to the clipboard, and files that are made here, of what is on the screen.

const SHEET_COLUMNS = 4;
const SHEET_CELL = 320;
const SHEET_LINE = 34;

// A name for files, from the photo's: letters, digits, dashes.
function fileName(ending) {
  const stem = name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "-").slice(0, 60);
  return `${stem || "photo"}-${ending}`;
}

function escaped(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (letter) => entities[letter]);
}

function altSnippet() {
  return `<img src="${escaped(encodeURIComponent(name || "photo.jpg"))}" alt="${escaped(told.caption)}">`;
}

function taken(text) {
  find(".taken").textContent = text;
  announce(text);
}

async function copy(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    taken(say("copied"));
  } catch {
    // No leave to write to the clipboard, as in some frames: the visitor does it.
    snippet.value = text;
    snippet.hidden = false;
    snippet.focus();
    snippet.select();
    taken(say("copy_by_hand"));
  }
}

function offer(blob, file) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  taken(say("saved", { name: file }));
}

function offerCanvas(drawn, file) {
  drawn.toBlob((blob) => (blob ? offer(blob, file) : taken(say("unread_photo"))), "image/png");
}

// The photo at its own size, with a word's map.
function overlaid(index, width, height) {
  const drawn = document.createElement("canvas");
  [drawn.width, drawn.height] = [width, height];
  const context = drawn.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  if (index !== null) drawMap(context, width, height, shownMap(index), look);
  return drawn;
}

function savePicture() {
  const file = fileName(`${current + 1}.png`);
  offerCanvas(overlaid(current, image.naturalWidth, image.naturalHeight), file);
}

// The photo and all words' maps on one sheet, in the colours chosen, under the caption.
function saveSheet() {
  const fit = SHEET_CELL / Math.max(image.naturalWidth, image.naturalHeight);
  const [wide, high] = [image.naturalWidth * fit, image.naturalHeight * fit].map(Math.round);
  const columns = Math.min(SHEET_COLUMNS, words().length + 1);
  const drawn = document.createElement("canvas");
  const context = drawn.getContext("2d");
  context.font = "bold 20px sans-serif";
  const gap = 12;
  drawn.width = columns * (wide + gap) + gap;
  const lines = wrapped(context, told.caption, drawn.width - 2 * gap);
  const top = gap + lines.length * 28 + gap;
  drawn.height = top + Math.ceil((words().length + 1) / columns) * (high + SHEET_LINE);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, drawn.width, drawn.height);
  context.fillStyle = "#18181b";
  context.textBaseline = "top";
  context.font = "bold 20px sans-serif";
  lines.forEach((line, i) => context.fillText(line, gap, gap + i * 28));
  context.font = "16px sans-serif";
  [null, ...words().keys()].forEach((index, place) => {
    const x = gap + (place % columns) * (wide + gap);
    const y = top + Math.floor(place / columns) * (high + SHEET_LINE);
    context.drawImage(overlaid(index, wide, high), x, y);
    const word = words()[index];
    if (word) context.fillText(`${word.text}  ${percent(word.probability)}`, x, y + high + 6, wide);
  });
  offerCanvas(drawn, fileName("sheet.png"));
}

function wrapped(context, text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (context.measureText(longer).width <= width || !lines.at(-1)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

function saveData() {
  const text = JSON.stringify({ photo: name, ...plain(told), occlusion: told.occlusion }, null, 1);
  offer(new Blob([text], { type: "application/json" }), fileName("caption.json"));
}

function saveAnimation() {
  const file = fileName("words.gif");
  taken(say("drawing"));
  const done = async ({ animation }) => {
    const response = await fetch(animation.url).catch(() => null);
    if (response?.ok) offer(await response.blob(), file);
    else taken(say("fault"));
  };
  const question = { caption: plain(told), colours: look.palette, opacity: look.opacity };
  ask("animation", question, done, taken);
}

const TAKE = {
  copy: () => copy(told.caption),
  alt: () => {
    snippet.value = altSnippet();
    snippet.hidden = false;
    return copy(snippet.value);
  },
  png: savePicture,
  sheet: saveSheet,
  gif: saveAnimation,
  json: saveData,
};
