// Mouse, pen and fingers on the canvas: one draws with the tool, two fingers, the wheel, the middle button or the space
// bar move and zoom; the right button or Alt does the opposite of the tool (erase for draw).

export class Gestures {
  constructor(canvas, view, tools, choices) {
    Object.assign(this, { canvas, view, tools, choices });
    this.fingers = new Map(); // pointerId -> [x, y] on the screen
    this.panning = null;
    this.space = false; // whether the space bar is down
    const on = (event, act) => canvas.addEventListener(event, act);
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", (event) => this.#up(event, true));
    on("pointerleave", () => ((view.pointer = null), view.request(true)));
    on("contextmenu", (event) => event.preventDefault());
    on("dblclick", () => tools.close());
    // A finger's click, which comes last, would land in the dialog that it has opened.
    on("touchend", (event) => document.querySelector("dialog[open]") && event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  #place(event) {
    const corner = this.canvas.getBoundingClientRect();
    return [event.clientX - corner.left, event.clientY - corner.top];
  }

  #down(event) {
    const place = this.#place(event);
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.view.cursor = null;
    this.fingers.set(event.pointerId, place);
    if (this.fingers.size === 2) return this.#pinch();
    if (this.fingers.size > 2) return;
    const moves = event.button === 1 || this.space || this.choices.tool === "pan";
    if (moves) this.panning = place;
    else this.tools.start(this.view.toImage(place), event.button === 2 || event.altKey);
  }

  #pinch() {
    this.tools.cancel();
    this.panning = null;
    this.spread = this.#between();
  }

  #between() {
    const [[ax, ay], [bx, by]] = [...this.fingers.values()];
    return { middle: [(ax + bx) / 2, (ay + by) / 2], width: Math.hypot(ax - bx, ay - by) };
  }

  #move(event) {
    const place = this.#place(event);
    if (event.pointerType !== "touch") {
      this.view.pointer = this.view.toImage(place);
      this.view.request(true);
    }
    if (!this.fingers.has(event.pointerId)) return;
    this.fingers.set(event.pointerId, place);
    if (this.spread) return this.#pinched();
    if (this.panning) {
      this.view.pan(place[0] - this.panning[0], place[1] - this.panning[1]);
      this.panning = place;
    } else this.tools.move(this.view.toImage(place));
  }

  #pinched() {
    if (this.fingers.size !== 2) return;
    const now = this.#between();
    this.view.pan(now.middle[0] - this.spread.middle[0], now.middle[1] - this.spread.middle[1]);
    this.view.zoom(now.width / Math.max(1, this.spread.width), now.middle);
    this.spread = now;
  }

  #up(event, lost = false) {
    const known = this.fingers.delete(event.pointerId);
    if (!known) return;
    if (this.spread || this.panning) {
      if (!this.fingers.size) this.spread = this.panning = null;
    } else if (lost) this.tools.cancel();
    else this.tools.end(this.view.toImage(this.#place(event)));
  }

  #wheel(event) {
    event.preventDefault();
    // A touchpad's pinch comes as a wheel with Ctrl and small steps; lines and pages are what old mice send.
    const unit = [1, 16, 400][event.deltaMode] * (event.ctrlKey ? 8 : 1);
    const steps = Math.max(-240, Math.min(240, event.deltaY * unit));
    this.view.zoom(Math.exp(-steps / 480), this.#place(event));
  }
}
