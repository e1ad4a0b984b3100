// Drawing and colour as numbers, without a page.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  PALETTES, blend, colourize, cover, drawMap, enlarge, interpolateColours, markCell, peakOf, rangeOf, toMap,
} from "../../../captioner/page/static/drawing.js";

/** Red, green, blue and opacity of a packed colour. */
function unpack(colour) {
  return [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255, colour >>> 24];
}

test("colours are interpolated between the steps, and the steps are met", () => {
  const colours = interpolateColours([[0, 0, 0], [255, 100, 50]]);
  assert.equal(colours.length, 256);
  assert.deepEqual(unpack(colours[0]), [0, 0, 0, 255]);
  assert.deepEqual(unpack(colours[51]), [51, 20, 10, 255]);
  assert.deepEqual(unpack(colours[255]), [255, 100, 50, 255]);
});

test("viridis goes from violet to yellow", () => {
  assert.deepEqual(unpack(PALETTES.viridis[0]), [68, 1, 84, 255]);
  assert.deepEqual(unpack(PALETTES.viridis[255]), [253, 231, 36, 255]);
});

test("the spotlight is black, and clear where the value is highest", () => {
  assert.deepEqual(unpack(PALETTES.spotlight[0]), [0, 0, 0, 255]);
  assert.deepEqual(unpack(PALETTES.spotlight[255]), [0, 0, 0, 0]);
});

const LEVELS = Uint32Array.from({ length: 256 }, (_, level) => level);

test("values get all colours of their range, and those beyond it the first or the last", () => {
  assert.deepEqual([...colourize([2, 3, 4], LEVELS, rangeOf([2, 3, 4]))], [0, 128, 255]);
  assert.deepEqual([...colourize([-1, 1, 9], LEVELS, [0, 2])], [0, 128, 255]);
});

test("the same value gets the same colour wherever the range is the same", () => {
  const range = [0, 0.95];
  const [low, high] = [[0.01, 0.09], [0.09, 0.95]].map((cells) => colourize(cells, LEVELS, range));
  assert.equal(low[1], high[0]);
  assert.ok(low[1] < 30);
  assert.equal(high[1], 255);
});

test("equal values all get the first colour", () => {
  assert.deepEqual([...colourize([0.2, 0.2], LEVELS, rangeOf([0.2, 0.2]))], [0, 0]);
});

test("an even map stays even when it is enlarged", () => {
  for (const value of enlarge({ cells: Array(12).fill(0.5), rows: 3, cols: 4 }, 24)) {
    assert.ok(Math.abs(value - 0.5) < 1e-6);
  }
});

test("an enlarged map is highest where the cell was, and never below zero", () => {
  for (let cell = 0; cell < 12; cell += 1) {
    const cells = Array.from({ length: 12 }, (_, i) => Number(i === cell));
    const smooth = enlarge({ cells, rows: 3, cols: 4 }, 24);
    const best = smooth.indexOf(Math.max(...smooth));
    assert.equal(Math.floor(Math.floor(best / 24) / 8), Math.floor(cell / 4));
    assert.equal(Math.floor((best % 24) / 6), cell % 4);
    assert.ok(Math.min(...smooth) >= 0);
  }
});

test("the peak is the first cell with the highest value", () => {
  assert.equal(peakOf(toMap([[0, 2], [1, 2]])), 1);
});

test("a blend goes from one map to the other", () => {
  assert.deepEqual(blend([0, 4], [2, 0], 0.25), [0.5, 3]);
  assert.deepEqual(blend([0, 4], [2, 0], 1), [2, 0]);
});

/** A canvas that notes what is drawn on it. */
class FakeCanvas {
  static made = [];
  drawn = [];

  constructor(width, height) {
    Object.assign(this, { width, height });
    FakeCanvas.made.push(this);
  }

  getContext() {
    return new Proxy(this, {
      get: (canvas, name) => {
        if (name === "createImageData") {
          return (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) });
        }
        if (name in canvas) return canvas[name];
        return (...values) => canvas.drawn.push([name, ...values]);
      },
      set: (canvas, name, value) => {
        canvas[name] = value;
        canvas.drawn.push([name, value]);
        return true;
      },
    });
  }
}

test("a map is drawn over the whole photo, cell by cell if a grid is wanted", (context) => {
  globalThis.OffscreenCanvas = FakeCanvas;
  context.after(() => delete globalThis.OffscreenCanvas);
  const canvas = new FakeCanvas(300, 200);
  const appearance = { shape: "grid", palette: "viridis", opacity: 0.5, peak: true };
  drawMap(canvas.getContext(), 300, 200, toMap([[0, 0, 1], [0, 0, 0]]), appearance);
  const sheet = FakeCanvas.made.at(-1);
  assert.deepEqual([sheet.width, sheet.height], [3, 2]);
  const [, image] = sheet.drawn.find(([name]) => name === "putImageData");
  assert.deepEqual([...image.data.slice(8, 12)], [253, 231, 36, 255]);
  assert.deepEqual([...image.data.slice(0, 4)], [68, 1, 84, 255]);
  assert.deepEqual(canvas.drawn.find(([name]) => name === "drawImage").slice(2), [0, 0, 300, 200]);
  assert.deepEqual(canvas.drawn.find(([name]) => name === "globalAlpha"), ["globalAlpha", 0.5]);
  assert.deepEqual(canvas.drawn.find(([name]) => name === "arc").slice(1, 3), [250, 50]);
});

test("the ring lies where the smooth map is highest, between two cells that share the peak", (context) => {
  globalThis.OffscreenCanvas = FakeCanvas;
  context.after(() => delete globalThis.OffscreenCanvas);
  const canvas = new FakeCanvas(400, 400);
  const appearance = { shape: "smooth", palette: "spotlight", opacity: 1, peak: true };
  const map = toMap([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]);
  drawMap(canvas.getContext(), 400, 400, map, appearance);
  const [x, y] = canvas.drawn.find(([name]) => name === "arc").slice(1, 3);
  assert.ok(Math.abs(x - 200) < 4, `the ring is at ${x}`);
  assert.ok(Math.abs(y - 150) < 4, `the ring is at ${y}`);
});

test("the brightest place of a spotlight keeps the colours of the photo", (context) => {
  globalThis.OffscreenCanvas = FakeCanvas;
  context.after(() => delete globalThis.OffscreenCanvas);
  const canvas = new FakeCanvas(300, 200);
  const appearance = { shape: "smooth", palette: "spotlight", opacity: 1, peak: false };
  drawMap(canvas.getContext(), 300, 200, toMap([[0.1, 0.2, 0.1], [0.2, 0.3, 0.1]]), appearance);
  const [, image] = FakeCanvas.made.at(-1).drawn.find(([name]) => name === "putImageData");
  const opacities = image.data.filter((_, i) => i % 4 === 3);
  assert.equal(Math.min(...opacities), 0);
  assert.equal(Math.max(...opacities), 255);
});

test("a covered photo is grey nearly all through", () => {
  const canvas = new FakeCanvas(300, 200);
  cover(canvas.getContext(), 300, 200);
  assert.deepEqual(canvas.drawn.find(([name]) => name === "fillRect"), ["fillRect", 0, 0, 300, 200]);
  assert.ok(canvas.drawn.find(([name]) => name === "globalAlpha")[1] > 0.9);
  assert.equal(canvas.globalAlpha, 1);
});

test("a cell is outlined where it lies", () => {
  const canvas = new FakeCanvas(300, 200);
  markCell(canvas.getContext(), 300, 200, [2, 3], 5);
  const boxes = canvas.drawn.filter(([name]) => name === "strokeRect");
  assert.deepEqual(boxes, [["strokeRect", 200, 100, 100, 100], ["strokeRect", 200, 100, 100, 100]]);
});
