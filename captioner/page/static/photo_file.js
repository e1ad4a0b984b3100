// Photos as files, before they go to the server: which of what was given is one, and how large.

const MAX_SIDE = 1600;
const MAX_BYTES = 3_000_000; // more is compressed anew, even if the photo has few pixels
const MAX_PIXELS = 90_000_000; // more is left to the server, which refuses it: here it would fill the memory
const QUALITY = 0.92;
const HEIC_BRANDS = ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"];

/** Width and height with the longer side no longer than it may be. @param {number} width @param {number} height */
export function fitted(width, height, longest = MAX_SIDE) {
  const scale = Math.min(1, longest / Math.max(width, height));
  return [width, height].map((side) => Math.max(1, Math.round(side * scale)));
}

/** Sizes on the way down to another, each at least half of the one before: a larger step loses detail.
 * @param {number[]} from @param {number[]} to */
export function steps([width, height], to) {
  const sizes = [];
  while (width > 2 * to[0] && height > 2 * to[1]) {
    [width, height] = [Math.round(width / 2), Math.round(height / 2)];
    sizes.push([width, height]);
  }
  return [...sizes, to];
}

/** Whether a file begins like HEIC, the iPhone's format. @param {Uint8Array} start */
export function isHeic(start) {
  const text = String.fromCharCode(...start.slice(4, 12));
  return text.startsWith("ftyp") && HEIC_BRANDS.includes(text.slice(4));
}

/**
 * Make a photo small enough to send: upright, without what the camera noted beside its pixels.
 * @param {File} file
 * @returns {Promise<File>} the same file if it is small already, or if the browser cannot read it
 */
export async function shrink(file) {
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = url;
    await loaded(image);
    const size = [image.naturalWidth, image.naturalHeight];
    const wanted = fitted(size[0], size[1]);
    const small = wanted[0] === size[0] && file.size <= MAX_BYTES;
    if (small || size[0] * size[1] > MAX_PIXELS) return file;
    await image.decode();
    const blob = await toJpeg(steps(size, wanted).reduce(draw, image));
    return new File([blob], file.name.replace(/\.[^.]*$/, "") + ".jpg", { type: blob.type });
  } catch {
    return file;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** @param {CanvasImageSource} source @param {number[]} size */
export function draw(source, [width, height]) {
  const sheet = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (sheet.getContext("2d"));
  context.fillStyle = "#fff"; // below what is transparent, as the server does
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  return sheet;
}

/** @param {any} sheet an OffscreenCanvas */
export function toJpeg(sheet) {
  return sheet.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}

/** Its size is known then, and its pixels not yet decoded. @param {HTMLImageElement} image */
function loaded(image) {
  return new Promise((resolve, reject) => {
    image.onload = resolve;
    image.onerror = () => reject(new Error("not a photo that this browser can read"));
  });
}

/** Why an upload failed: the key of a text. */
export class UploadError extends Error {}

/** By the server's status. @type {Record<number, string>} */
const REASONS = { 413: "upload_too_large", 429: "upload_busy", 503: "upload_busy" };

/**
 * Send a file to Gradio.
 * @param {string} address
 * @param {File} file
 * @returns {Promise<string>} its path on the server
 */
export async function upload(address, file) {
  const form = new FormData();
  form.append("files", file, file.name || "photo");
  let response;
  try {
    response = await fetch(address, { method: "POST", body: form });
  } catch {
    throw new UploadError(navigator.onLine ? "no_answer" : "upload_offline");
  }
  if (!response.ok) throw new UploadError(REASONS[response.status] ?? "upload_refused");
  return (await response.json())[0];
}
