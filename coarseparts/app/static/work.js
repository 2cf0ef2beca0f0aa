// The work on one image: its coarse labels, its parts, what was done to them, and how both go to and from the server.

import { History } from "./history.js";
import { cut, difference, paste } from "./planes.js";
import { decode, encode, fromBase64, toBase64 } from "./png.js";

const IDLE = 30000; // milliseconds without a touch that count as a pause, not as work

export class Work {
  /** about: the server's answer for this image; session: the server's for the run. */
  constructor(session, about) {
    const { id, name, width, height, status, revision, labels, reason, pixels } = about;
    Object.assign(this, { session, id, name, width, height, status, revision, reason, pixels });
    this.keypoints = this.#placeable(labels.keypoints);
    this.box = labels.box ?? null;
    this.drawnOn = pixels; // which photograph the work is of, where another one took its place
    this.mask = null; // Uint8Array of 0 and 255
    this.parts = new Uint8Array(width * height); // indices, or a bit for each part where parts overlap
    this.known = false; // whether the parts are anybody's yet: the model's, the saved ones, or drawn ones
    this.unanswered = false; // whether labels were changed that the model has not answered to yet
    this.corrected = false; // whether what was loaded was corrected by hand
    this.scores = {};
    this.confidence = null;
    this.history = new History();
    this.dirty = false; // whether something is not on the server yet
    this.version = 0; // grows with every change
    this.seconds = 0;
    this.touched = null;
  }

  /** Whether somebody drew in the parts: then the model's next answer must not replace them unasked. */
  get edited() {
    return this.corrected || this.history.has("parts");
  }

  /** Counts the time of work since the last touch, without pauses. */
  touch(now = performance.now()) {
    if (this.touched !== null) this.seconds += Math.min(now - this.touched, IDLE) / 1000;
    this.touched = now;
  }

  /** Labels as a step of the history works with them. */
  get labels() {
    return { keypoints: { ...this.keypoints }, box: this.box && [...this.box] };
  }

  set labels({ keypoints, box }) {
    this.keypoints = { ...keypoints };
    this.box = box && [...box];
  }

  /** Notes that the labels were changed from ``before``. Returns whether they were. */
  labelled(before) {
    const after = this.labels;
    if (JSON.stringify(before) === JSON.stringify(after)) return false;
    this.history.add({ what: "labels", before, after });
    this.#changed();
    return true;
  }

  /** The plane "parts" or "mask" to be drawn in; ``drawn`` then notes what was drawn. */
  plane(what) {
    if (what === "mask") this.mask ??= new Uint8Array(this.width * this.height);
    return this[what];
  }

  /** Notes that a plane was changed from ``before`` within ``bounds``. Returns whether a pixel differs. */
  drawn(what, before, bounds) {
    if (!bounds) return false;
    const [old, now] = [cut(before, this.width, bounds), cut(this[what], this.width, bounds)];
    if (!difference(old, now, bounds[2] - bounds[0], bounds[3] - bounds[1])) return false;
    this.history.add({ what, bounds, before: old, after: now });
    if (what === "parts") this.known = true;
    this.#changed();
    return true;
  }

  #changed() {
    this.dirty = true;
    this.version++;
  }

  /** Takes the last step back. Returns what it was in ("labels", "mask", "parts") or null. */
  undo() {
    return this.#apply(this.history.undo(), "before");
  }

  redo() {
    return this.#apply(this.history.redo(), "after");
  }

  #apply(step, side) {
    if (!step) return null;
    if (step.what === "labels") this.labels = step[side];
    else paste(this.plane(step.what), this.width, step.bounds, step[side]);
    this.#changed();
    return step.what;
  }

  /** Takes the model's answer, parts as ``read`` gives them: a step that can be undone where drawn parts go. */
  answered(parts, { scores, confidence }) {
    const replaces = this.edited && difference(this.parts, parts, this.width, this.height);
    if (replaces) {
      const before = this.parts;
      this.parts = parts;
      this.drawn("parts", before, replaces);
    } else {
      this.parts = parts;
      this.history.forgetUndone();
    }
    this.known = true;
    this.unanswered = false;
    this.scores = scores ?? {};
    this.confidence = confidence ?? null;
  }

  /** Takes the parts that were saved on the server. */
  async loaded(saved, status) {
    this.parts = await this.read(saved.parts);
    this.known = true;
    this.corrected = status === "corrected";
  }

  async readMask(bytes) {
    this.mask = this.#sized(await decode(bytes));
    this.version++;
  }

  /** Whether there is a mask; one without a pixel is none. */
  get masked() {
    if (this.counted !== this.version) this.hasMask = this.mask?.some((value) => value) ?? false;
    this.counted = this.version;
    return this.hasMask;
  }

  /** What goes to the server as labels. */
  async labelsToSend() {
    const mask = this.masked ? toBase64(await encode(this.mask, this.width, this.height)) : null;
    return { ...this.labels, mask };
  }

  /** What goes to the server as parts: an index map, or a mask for each part where parts overlap. */
  async partsToSend() {
    if (!this.session.overlapping) return toBase64(await encode(this.parts, this.width, this.height));
    const masks = {};
    for (const { index, name } of this.session.parts) {
      const plane = this.parts.map((bits) => (bits & (1 << (index - 1)) ? 255 : 0));
      masks[name] = toBase64(await encode(plane, this.width, this.height));
    }
    return masks;
  }

  /** What this browser keeps until it is saved. */
  kept() {
    const { name, width, height, revision, drawnOn, mask, parts, known, unanswered, edited, seconds } = this;
    return {
      ...this.labels,
      name,
      width,
      height,
      revision,
      drawnOn,
      mask,
      parts,
      known,
      unanswered,
      corrected: edited,
      seconds,
      at: Date.now(),
    };
  }

  /** Takes what this browser kept. Returns false, and takes nothing, where it was another image's. */
  restore(kept) {
    if (kept.name !== this.name || kept.width !== this.width || kept.height !== this.height) return false;
    const { mask, parts, known, unanswered = false, corrected, seconds, revision, drawnOn = this.pixels } = kept;
    Object.assign(this, { mask, parts, known, unanswered, corrected, seconds, revision, drawnOn });
    this.labels = { ...kept, keypoints: this.#placeable(kept.keypoints) };
    this.#changed();
    return true;
  }

  // A model that was trained since may have other keypoints.
  #placeable(keypoints) {
    return Object.fromEntries(Object.entries(keypoints).filter(([name]) => this.session.keypoints.includes(name)));
  }

  /** Parts as the server sends them -> a plane. Throws where they do not fit the photograph. */
  async read(parts) {
    if (!this.session.overlapping) return this.#sized(await decode(fromBase64(parts)));
    const plane = new Uint8Array(this.width * this.height);
    for (const { index, name } of this.session.parts) {
      if (!parts[name]) continue;
      const mask = this.#sized(await decode(fromBase64(parts[name])));
      for (let i = 0; i < mask.length; i++) if (mask[i]) plane[i] |= 1 << (index - 1);
    }
    return plane;
  }

  #sized({ plane, width, height }) {
    if (width === this.width && height === this.height) return plane;
    throw new Error(`what came is ${width} x ${height} pixels, the photograph ${this.width} x ${this.height}`);
  }
}
