// Undo and redo. A step holds what was before and after it: a rectangle of a plane ("parts" or "mask"), or the labels.

const ROOM = 96 * 2 ** 20; // bytes of pixels that the steps of one image may hold; the oldest go first

export class History {
  constructor() {
    this.done = [];
    this.undone = [];
    this.bytes = 0;
    this.forgotten = false; // steps in the parts were dropped: that they are corrected is still true
  }

  /** step: {what: "parts" | "mask", bounds, before, after} or {what: "labels", before, after}. */
  add(step) {
    this.undone.forEach((old) => (this.bytes -= size(old)));
    this.undone = [];
    this.done.push(step);
    this.bytes += size(step);
    while (this.bytes > ROOM && this.done.length > 1) {
      const old = this.done.shift();
      this.bytes -= size(old);
      this.forgotten ||= old.what === "parts";
    }
  }

  /** The step to take back, moved to those that can be done again; null where there is none. */
  undo() {
    const step = this.done.pop() ?? null;
    if (step) this.undone.push(step);
    return step;
  }

  redo() {
    const step = this.undone.pop() ?? null;
    if (step) this.done.push(step);
    return step;
  }

  /** What was taken back cannot be done again once the ground under it changed. */
  forgetUndone() {
    this.undone.forEach((old) => (this.bytes -= size(old)));
    this.undone = [];
  }

  /** Whether a step in this plane stands. */
  has(what) {
    return (what === "parts" && this.forgotten) || this.done.some((step) => step.what === what);
  }
}

function size(step) {
  return step.what === "labels" ? 0 : step.before.length + step.after.length;
}
