// Drawing: a map, one number for each region of a grid, in colour on a photo. Knows no words.
//
// A map is {cells, rows, cols}, its cells in reading order. It covers the whole photo. Differences
// below its `least`, if it has one, are not made to look large.

const HEAT_SIDE = 192;
const sheet = document.createElement("canvas"); // of the map that is being drawn, small
const PALETTES = {
  viridis: painted(COLOURS.viridis),
  magma: painted(COLOURS.magma),
  spotlight: Uint32Array.from({ length: 256 }, (_, level) => (255 - level) << 24),
};

// 256 opaque colours between those that Python gives, as the bytes A, B, G, R of a number.
function painted(anchors) {
  return Uint32Array.from({ length: 256 }, (_, level) => {
    const at = (level / 255) * (anchors.length - 1);
    const low = Math.min(Math.floor(at), anchors.length - 2);
    const [red, green, blue] = [0, 1, 2].map((channel) =>
      Math.round(anchors[low][channel] + (at - low) * (anchors[low + 1][channel] - anchors[low][channel])),
    );
    return (255 << 24) | (blue << 16) | (green << 8) | red;
  });
}

function mapOf(grid) {
  return { cells: grid.flat(), rows: grid.length, cols: grid[0].length };
}

function peakOf({ cells }) {
  return cells.reduce((best, value, cell) => (value > cells[best] ? cell : best), 0);
}

// look: {palette, shape, opacity, peak}; side: of the enlarged map, in pixels.
function drawMap(context, width, height, map, look, side = HEAT_SIDE) {
  const grid = look.shape === "grid";
  const across = grid ? map.cols : side;
  const values = grid ? map.cells : enlarged(map, side);
  colour(values, across, PALETTES[look.palette], map.least ?? 1e-9);
  context.save();
  context.imageSmoothingEnabled = !grid;
  context.imageSmoothingQuality = "high";
  const strength = look.palette === "spotlight" ? SPOTLIGHT_STRENGTH : 1;
  context.globalAlpha = Math.min(1, strength * look.opacity);
  context.drawImage(sheet, 0, 0, width, height);
  context.restore();
  if (look.peak && map.cells.some((value) => value > 0)) markPeak(context, width, height, map);
}

function markPeak(context, width, height, map) {
  const cell = peakOf(map);
  const x = ((cell % map.cols) + 0.5) * (width / map.cols);
  const y = (Math.floor(cell / map.cols) + 0.5) * (height / map.rows);
  const unit = Math.max(width, height) / 110;
  for (const [colour, line] of [["#000a", 1.1], ["#fff", 0.5]]) {
    context.beginPath();
    context.arc(x, y, 2 * unit, 0, 2 * Math.PI);
    context.lineWidth = line * unit;
    context.strokeStyle = colour;
    context.stroke();
  }
}

function markCell(context, width, height, { rows, cols }, cell) {
  const [wide, high] = [width / cols, height / rows];
  const box = [(cell % cols) * wide, Math.floor(cell / cols) * high, wide, high];
  const line = Math.max(width, height) / 220;
  for (const [colour, times, dash] of [["#000c", 2, []], ["#fff", 1, [3 * line, 2 * line]]]) {
    context.lineWidth = times * line;
    context.strokeStyle = colour;
    context.setLineDash(dash);
    context.strokeRect(...box);
  }
  context.setLineDash([]);
}

function enlarged({ cells, rows, cols }, side) {
  const across = cubicWeights(cols, side);
  const down = cubicWeights(rows, side);
  const smooth = new Float32Array(side * side);
  const line = new Float32Array(cols);
  for (let y = 0; y < side; y += 1) {
    line.fill(0);
    for (const [row, weight] of down[y]) {
      for (let col = 0; col < cols; col += 1) line[col] += weight * cells[row * cols + col];
    }
    for (let x = 0; x < side; x += 1) {
      let sum = 0;
      for (const [col, weight] of across[x]) sum += weight * line[col];
      smooth[y * side + x] = Math.max(0, sum);
    }
  }
  return smooth;
}

// For each pixel, the cells around it and their shares (Catmull-Rom, as the library enlarges).
const weightsMade = new Map();
function cubicWeights(cells, side) {
  const key = `${cells} ${side}`;
  if (!weightsMade.has(key)) {
    weightsMade.set(key, Array.from({ length: side }, (_, pixel) => sharesAt(pixel, cells, side)));
  }
  return weightsMade.get(key);
}

function sharesAt(pixel, cells, side) {
  const centre = ((pixel + 0.5) / side) * cells - 0.5;
  const first = Math.floor(centre) - 1;
  const near = [0, 1, 2, 3].map((i) => first + i).filter((cell) => cell >= 0 && cell < cells);
  const shares = near.map((cell) => cubic(Math.abs(centre - cell)));
  const total = shares.reduce((sum, share) => sum + share, 0);
  return near.map((cell, i) => [cell, shares[i] / total]);
}

function cubic(distance) {
  if (distance < 1) return 1.5 * distance ** 3 - 2.5 * distance ** 2 + 1;
  if (distance < 2) return -0.5 * distance ** 3 + 2.5 * distance ** 2 - 4 * distance + 2;
  return 0;
}

// Onto the sheet: the lowest value in the palette's first colour, the highest in its last.
function colour(values, across, palette, least) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const scale = high - low < 1e-9 ? 0 : 255 / Math.max(least, high - low);
  sheet.width = across;
  sheet.height = values.length / across;
  const context = sheet.getContext("2d");
  const pixels = context.createImageData(sheet.width, sheet.height);
  const packed = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < packed.length; i += 1) packed[i] = palette[Math.round((values[i] - low) * scale)];
  context.putImageData(pixels, 0, 0);
}
