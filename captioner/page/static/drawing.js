// Drawing: a map, one number for each region of a grid, in colour on a photo. Knows no words.

import { COLOUR_STEPS, SPOTLIGHT_STRENGTH } from "./palettes.js";

/** @typedef {import("./state.js").Appearance} Appearance */

/**
 * Covers the whole photo.
 * @typedef {object} RegionMap
 * @property {number[]} cells in reading order
 * @property {number} rows
 * @property {number} cols
 * @property {Range} [range] its own, from the lowest cell to the highest, if not given
 */

/** The values that get the first colour and the last. @typedef {[low: number, high: number]} Range */

/** What is drawn on, of an element or of its own. @typedef {CanvasRenderingContext2D} Context */

export const MAP_SIDE = 192;

/** Colours by level, 0 to 255, as the bytes A, B, G, R of a number. @type {Record<string, Uint32Array>} */
export const PALETTES = {
  viridis: interpolateColours(COLOUR_STEPS.viridis),
  spotlight: Uint32Array.from({ length: 256 }, (_, level) => (255 - level) << 24),
};

/** 256 opaque colours, through the given ones. @param {number[][]} steps */
export function interpolateColours(steps) {
  return Uint32Array.from({ length: 256 }, (_, level) => {
    const at = (level / 255) * (steps.length - 1);
    const low = Math.min(Math.floor(at), steps.length - 2);
    const [red, green, blue] = [0, 1, 2].map((channel) =>
      Math.round(steps[low][channel] + (at - low) * (steps[low + 1][channel] - steps[low][channel])),
    );
    return (255 << 24) | (blue << 16) | (green << 8) | red;
  });
}

/** @param {number[][]} grid @returns {RegionMap} */
export function toMap(grid) {
  return { cells: grid.flat(), rows: grid.length, cols: grid[0].length };
}

/** The cell with the highest value. @param {RegionMap} map */
export function peakOf({ cells }) {
  return highestOf(cells);
}

/** The place of the highest value, the first of several. @param {ArrayLike<number>} values */
function highestOf(values) {
  let best = 0;
  for (let i = 1; i < values.length; i += 1) if (values[i] > values[best]) best = i;
  return best;
}

/** From the lowest value to the highest. @param {number[]} cells @returns {Range} */
export function rangeOf(cells) {
  return [Math.min(...cells), Math.max(...cells)];
}

/** Between two maps: `share` of the way. @param {number[]} from @param {number[]} to @param {number} share */
export function blend(from, to, share) {
  return to.map((value, i) => from[i] + share * (value - from[i]));
}

/**
 * Enlarge a map to side x side pixels, by the cubic filter that the library uses.
 * @param {RegionMap} map
 * @param {number} side
 */
export function enlarge({ cells, rows, cols }, side) {
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

/**
 * Colour values. Those beyond the range, as smoothing makes them, get its first or last colour.
 * @param {ArrayLike<number>} values
 * @param {Uint32Array} palette
 * @param {Range} range
 */
export function colourize(values, palette, [low, high]) {
  const scale = high - low < 1e-9 ? 0 : 255 / (high - low);
  const level = (/** @type {number} */ value) => Math.round((value - low) * scale);
  return Uint32Array.from(values, (value) => palette[Math.min(255, Math.max(0, level(value)))]);
}

/**
 * Draw a map over all of a photo.
 * @param {Context} context
 * @param {number} width
 * @param {number} height
 * @param {RegionMap} map
 * @param {Appearance} appearance
 */
export function drawMap(context, width, height, map, appearance, side = MAP_SIDE) {
  const grid = appearance.shape === "grid";
  const across = grid ? map.cols : side;
  const palette = PALETTES[appearance.palette];
  const values = grid ? map.cells : enlarge(map, side);
  const pixels = colourize(values, palette, map.range ?? rangeOf(map.cells));
  context.save();
  context.imageSmoothingEnabled = !grid;
  context.imageSmoothingQuality = "high";
  const strength = appearance.palette === "spotlight" ? SPOTLIGHT_STRENGTH : 1;
  context.globalAlpha = Math.min(1, strength * appearance.opacity);
  context.drawImage(toCanvas(pixels, across), 0, 0, width, height);
  context.restore();
  if (!appearance.peak || !map.cells.some((value) => value > 0)) return;
  const peak = highestOf(values); // of what is drawn, which may lie between cells
  const unit = [width / across, height / (values.length / across)];
  markPeak(context, width, height, ((peak % across) + 0.5) * unit[0], (Math.floor(peak / across) + 0.5) * unit[1]);
}

/** Cover a photo, as closed eyes do. @param {Context} context @param {number} width @param {number} height */
export function cover(context, width, height) {
  context.fillStyle = "#71717a";
  context.globalAlpha = 0.96;
  context.fillRect(0, 0, width, height);
  context.globalAlpha = 1;
}

/** @param {Uint32Array} pixels @param {number} across */
function toCanvas(pixels, across) {
  const sheet = new OffscreenCanvas(across, pixels.length / across);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (sheet.getContext("2d"));
  const image = context.createImageData(sheet.width, sheet.height);
  new Uint32Array(image.data.buffer).set(pixels);
  context.putImageData(image, 0, 0);
  return sheet;
}

/** @param {Context} context @param {number} width @param {number} height @param {number} x @param {number} y */
function markPeak(context, width, height, x, y) {
  const unit = Math.max(width, height) / 110;
  for (const { colour, line } of [{ colour: "#000a", line: 1.1 }, { colour: "#fff", line: 0.5 }]) {
    context.beginPath();
    context.arc(x, y, 2 * unit, 0, 2 * Math.PI);
    context.lineWidth = line * unit;
    context.strokeStyle = colour;
    context.stroke();
  }
}

/**
 * Outline a cell.
 * @param {Context} context
 * @param {number} width
 * @param {number} height
 * @param {number[]} grid rows and columns
 * @param {number} cell
 */
export function markCell(context, width, height, [rows, cols], cell) {
  const [wide, high] = [width / cols, height / rows];
  const line = Math.max(width, height) / 220;
  for (const { colour, times, dash } of [
    { colour: "#000c", times: 2, dash: [] },
    { colour: "#fff", times: 1, dash: [3 * line, 2 * line] },
  ]) {
    context.lineWidth = times * line;
    context.strokeStyle = colour;
    context.setLineDash(dash);
    context.strokeRect((cell % cols) * wide, Math.floor(cell / cols) * high, wide, high);
  }
  context.setLineDash([]);
}

/** @typedef {[cell: number, weight: number][]} Weights of the cells around a pixel, adding up to 1 */

/** By "cells side": the same few are needed at every word. @type {Map<string, Weights[]>} */
const weightsCache = new Map();

/** @param {number} cells @param {number} side @returns {Weights[]} for each pixel */
function cubicWeights(cells, side) {
  const key = `${cells} ${side}`;
  const known = weightsCache.get(key);
  if (known) return known;
  const made = Array.from({ length: side }, (_, pixel) => weightsAt(pixel, cells, side));
  weightsCache.set(key, made);
  return made;
}

/** @param {number} pixel @param {number} cells @param {number} side @returns {Weights} */
function weightsAt(pixel, cells, side) {
  const centre = ((pixel + 0.5) / side) * cells - 0.5;
  const first = Math.floor(centre) - 1;
  const near = [0, 1, 2, 3].map((i) => first + i).filter((cell) => cell >= 0 && cell < cells);
  const weights = near.map((cell) => catmullRom(Math.abs(centre - cell)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return near.map((cell, i) => [cell, weights[i] / total]);
}

/** @param {number} distance */
function catmullRom(distance) {
  if (distance < 1) return 1.5 * distance ** 3 - 2.5 * distance ** 2 + 1;
  if (distance < 2) return -0.5 * distance ** 3 + 2.5 * distance ** 2 - 4 * distance + 2;
  return 0;
}
