// The camera: a dialog that shows what it sees, and takes a photo.

import { toJpeg } from "./photo_file.js";

/** By the name of the browser's error. @type {Record<string, string>} */
const TROUBLES = { NotAllowedError: "camera_refused", NotReadableError: "camera_in_use" };

export class Camera {
  /** @type {MediaStream | null} */
  #stream = null;
  /** Counts the attempts to start it: a late stream is not that of the newest. */
  #starts = 0;

  /** @param {import("./viewer.js").Viewer} viewer @param {(photo: File) => void} take */
  constructor(viewer, take) {
    this.viewer = viewer;
    this.take = take;
    this.dialog = /** @type {HTMLDialogElement} */ (viewer.find(".camera-dialog"));
    this.video = /** @type {HTMLVideoElement} */ (viewer.find(".camera-dialog video"));
    this.shutter = /** @type {HTMLButtonElement} */ (viewer.find(".shutter"));
    this.dialog.addEventListener("close", () => this.#stop());
    this.shutter.addEventListener("click", () => void this.#shoot());
    viewer.find(".switch-camera").addEventListener("click", () => void this.#switch());
    viewer.find(".cancel-camera").addEventListener("click", () => this.dialog.close());
  }

  /** Offer the camera where there is one, now and when one is plugged in. Needs HTTPS or localhost. */
  offer() {
    const { mediaDevices } = navigator;
    if (!mediaDevices?.getUserMedia) return;
    const look = async () => {
      this.viewer.find(".intake .camera").hidden = !(await cameras()).length;
    };
    mediaDevices.addEventListener("devicechange", () => void look());
    void look();
  }

  async open() {
    this.dialog.showModal();
    await this.#start({ facingMode: "environment" });
  }

  close() {
    this.dialog.close();
  }

  /** @param {MediaTrackConstraints} wanted */
  async #start(wanted) {
    this.#stop();
    this.#say("");
    const start = (this.#starts += 1);
    const size = { width: { ideal: 1920 }, height: { ideal: 1440 } };
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { ...size, ...wanted } });
      if (start !== this.#starts || !this.dialog.open) return stop(stream);
      this.#stream = this.video.srcObject = stream;
      await this.video.play();
      this.shutter.disabled = false;
      this.shutter.focus();
      this.viewer.find(".switch-camera").hidden = (await cameras()).length < 2;
    } catch (error) {
      const { name } = /** @type {Error} */ (error);
      if (start === this.#starts && this.dialog.open) this.#say(TROUBLES[name] ?? "camera_missing");
    }
  }

  async #switch() {
    const all = await cameras();
    const current = this.#stream?.getVideoTracks()[0].getSettings().deviceId;
    const place = all.findIndex(({ deviceId }) => deviceId === current);
    await this.#start({ deviceId: { exact: all[(place + 1) % all.length].deviceId } });
  }

  async #shoot() {
    const { videoWidth, videoHeight } = this.video;
    const sheet = new OffscreenCanvas(videoWidth, videoHeight);
    sheet.getContext("2d")?.drawImage(this.video, 0, 0);
    this.dialog.close();
    const blob = await toJpeg(sheet);
    this.take(new File([blob], "camera.jpg", { type: blob.type }));
  }

  #stop() {
    stop(this.#stream);
    this.#stream = this.video.srcObject = null;
    this.shutter.disabled = true;
  }

  /** @param {string} key of a text, or "" */
  #say(key) {
    this.viewer.find(".camera-trouble").textContent = key && this.viewer.texts.say(key);
    this.video.hidden = key !== "";
  }
}

/** @param {MediaStream | null} stream */
function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

async function cameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind }) => kind === "videoinput");
}
