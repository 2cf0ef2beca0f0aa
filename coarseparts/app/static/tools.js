// What a pointer or the keyboard's cursor does on the photograph. A tool is {start, move, end}, all with an image
// point; ``press`` is the keyboard's: for what is drawn, Enter puts the pen down and, once more, lifts it.

import { whisper } from "./messages.js";
import { changing, flood, polygon, stroke, union } from "./planes.js";

const NEAR = 14; // screen pixels within which a point is meant

export const TOOLS = {
  pan: { name: "Move", key: "h", says: "Drag to move the photograph." },
  keypoint: { name: "Keypoint", key: "k", says: "Click places the chosen keypoint; drag moves one." },
  box: { name: "Box", key: "b", says: "Drag from corner to corner; drag a corner to change it." },
  mask: { name: "Mask", key: "m", says: "Paint the whole object." },
  brush: { name: "Brush", key: "p", says: "Paint the chosen part." },
  polygon: { name: "Polygon", key: "g", says: "Click corner after corner; the first one closes it." },
  flood: { name: "Fill", key: "f", says: "Click gives a whole patch to the chosen part." },
  ruler: { name: "Ruler", key: "u", says: "Click two points whose distance you know." },
};

export const DRAWS = ["brush", "polygon", "flood"]; // in the parts

export class Tools {
  /** ruled: called with the ruler's two points. */
  constructor(editor, view, choices, ruled) {
    Object.assign(this, { editor, view, choices, ruled });
    this.active = null; // the tool whose drag goes on
    this.flipped = false; // whether this drag erases what otherwise it would draw
    this.tools = {
      pan: { start() {}, move() {}, end() {} },
      keypoint: this.#keypoint(),
      box: this.#box(),
      mask: this.#brush("mask"),
      brush: this.#brush("parts"),
      polygon: { start: (point) => this.#corner(point), move() {}, end() {} },
      flood: { start: (point) => this.#flood(point), move() {}, end() {} },
      ruler: { start: (point) => this.#rule(point), move() {}, end() {} },
    };
    editor.addEventListener("settle", () => this.end());
  }

  get work() {
    return this.editor.usable ? this.editor.work : null;
  }

  get erases() {
    return this.choices.erase !== this.flipped;
  }

  choose(name) {
    this.end();
    this.choices.tool = name;
    this.view.draft = null;
    whisper(`${TOOLS[name].name}. ${TOOLS[name].says}`);
    this.editor.changed();
  }

  start(point, flipped = false) {
    if (!this.work) return;
    this.end(); // a pen that the keyboard put down
    this.editor.work.touch();
    if (DRAWS.includes(this.choices.tool)) {
      if (!this.editor.mayDraw()) return;
      this.#show();
    }
    this.flipped = flipped;
    this.active = this.tools[this.choices.tool];
    this.active.start(point);
    this.view.request();
  }

  // Nothing is drawn unseen.
  #show() {
    const { choices, editor } = this;
    choices.hidden.delete(editor.session.parts.find(({ index }) => index === choices.part)?.name);
    choices.opacity ||= 0.5;
    editor.changed();
  }

  move(point) {
    if (!this.active) return;
    this.active.move(point);
    this.view.request();
  }

  end(point) {
    const { active } = this;
    this.active = null;
    active?.end(point);
    this.view.request();
  }

  /** Gives up what is being drawn: a second finger came, Escape, another tool. */
  cancel() {
    const { active } = this;
    this.active = null;
    active?.cancel?.();
    this.view.draft = null;
    this.view.request();
  }

  /** Enter at the keyboard's cursor. */
  press(point) {
    if (this.active) return this.end(point);
    this.start(point);
    if (!this.active) return; // refused
    if (!["mask", "brush", "box"].includes(this.choices.tool)) return this.end(point);
    whisper("Pen down: arrows draw, Enter lifts it.");
  }

  /** Closes the polygon. */
  close() {
    const points = this.view.draft?.polygon ?? [];
    this.view.draft = null;
    if (points.length > 2 && this.work && this.editor.mayDraw())
      this.#once("parts", (plane, change) => polygon(plane, this.work.width, this.work.height, points, change));
    this.view.request();
  }

  /** Delete: the polygon's last corner, or the chosen keypoint, or the box, by the tool. */
  remove() {
    const { tool, keypoint } = this.choices;
    if (this.view.draft?.polygon?.length) return (this.view.draft.polygon.pop(), this.view.request());
    if (tool === "box") return this.#label((work) => (work.box = null));
    return this.removeKeypoint(keypoint);
  }

  removeKeypoint(name) {
    this.#label((work) => delete work.keypoints[name]);
  }

  removeMask() {
    const { work } = this;
    if (!work?.mask) return;
    const before = work.mask;
    work.mask = new Uint8Array(before.length);
    if (work.drawn("mask", before, [0, 0, work.width, work.height])) this.editor.noted("mask");
  }

  #label(change) {
    const { work } = this;
    if (!work) return;
    const before = work.labels;
    change(work);
    if (work.labelled(before)) this.editor.noted("labels");
  }

  #near(a, b) {
    const [[ax, ay], [bx, by]] = [this.view.toScreen(a), this.view.toScreen(b)];
    return Math.hypot(ax - bx, ay - by);
  }

  #within([x, y]) {
    const limit = (value, size) => Math.round(100 * Math.min(size, Math.max(0, value))) / 100;
    return [limit(x, this.work.width), limit(y, this.work.height)];
  }

  #keypoint() {
    let before = null;
    const move = (point) => (this.work.keypoints[this.choices.keypoint] = this.#within(point));
    return {
      start: (point) => {
        before = this.work.labels;
        const [nearest] = Object.entries(this.work.keypoints)
          .map(([name, place]) => [name, this.#near(place, point)])
          .sort((a, b) => a[1] - b[1]);
        const meant = nearest && nearest[1] < NEAR ? nearest[0] : null;
        if (meant) this.choices.keypoint = meant;
        if (this.erases) {
          if (meant) delete this.work.keypoints[meant];
        } else if (!meant) move(point);
        this.editor.changed();
      },
      move: (point) => !this.erases && this.choices.keypoint && move(point),
      end: () => {
        if (!this.work.labelled(before)) return;
        const placed = this.choices.keypoint;
        const isNew = !before.keypoints[placed] && this.work.keypoints[placed];
        if (isNew) this.choices.keypoint = this.#nextKeypoint(placed);
        whisper(isNew ? `${placed} placed. Next: ${this.choices.keypoint}.` : placed);
        this.editor.noted("labels");
      },
      cancel: () => (this.work.labels = before),
    };
  }

  // The next keypoint that is not placed yet; where all are, the one just placed.
  #nextKeypoint(after) {
    const names = this.editor.session.keypoints;
    const at = names.indexOf(after);
    return [...names.slice(at), ...names.slice(0, at)].find((name) => !this.work.keypoints[name]) ?? after;
  }

  #box() {
    let fixed = null;
    const draft = (point) => {
      const [[ax, ay], [bx, by]] = [fixed, this.#within(point)];
      this.view.draft = { box: [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)] };
    };
    return {
      start: (point) => {
        fixed = this.#within(point);
        const [x0, y0, x1, y1] = this.work.box ?? [];
        const corners = this.work.box
          ? [
              [x0, y0, x1, y1],
              [x1, y0, x0, y1],
              [x1, y1, x0, y0],
              [x0, y1, x1, y0],
            ]
          : [];
        const taken = corners.find(([x, y]) => this.#near([x, y], point) < NEAR);
        if (taken) fixed = taken.slice(2);
        draft(point);
      },
      move: draft,
      end: () => {
        const { box } = this.view.draft ?? {};
        this.view.draft = null;
        if (!box) return;
        if (box[2] - box[0] >= 2 && box[3] - box[1] >= 2) this.#label((work) => (work.box = box));
        else if (this.erases) this.#label((work) => (work.box = null));
      },
    };
  }

  #brush(what) {
    let [before, last, bounds] = [null, null, null];
    const draw = (point) => {
      const { work } = this;
      const plane = work.plane(what);
      const touched = stroke(plane, work.width, work.height, last, point, this.choices.radius, this.#change(what));
      bounds = union(bounds, touched);
      last = point;
    };
    return {
      start: (point) => {
        [before, last, bounds] = [this.work.plane(what).slice(), point, null];
        draw(point);
      },
      move: draw,
      end: () => this.work.drawn(what, before, bounds) && this.editor.noted(what),
      cancel: () => this.work.plane(what).set(before),
    };
  }

  #change(what) {
    if (what === "mask") return this.erases ? () => 0 : () => 255;
    return changing(this.editor.session.overlapping, this.choices.part, this.erases);
  }

  #once(what, draw) {
    const before = this.work.plane(what).slice();
    const bounds = draw(this.work.plane(what), this.#change(what));
    if (this.work.drawn(what, before, bounds)) this.editor.noted(what);
  }

  #corner(point) {
    const points = this.view.draft?.polygon ?? [];
    if (points.length > 2 && this.#near(points[0], point) < NEAR) return this.close();
    this.view.draft = { polygon: [...points, point] };
    whisper(`Corner ${points.length + 1}. Shift and Enter closes the polygon.`);
  }

  #flood(point) {
    this.#once("parts", (plane, change) => flood(plane, this.work.width, this.work.height, point, change));
  }

  #rule(point) {
    const points = [...(this.view.draft?.ruler ?? []).slice(0, 1), this.#within(point)];
    this.view.draft = { ruler: points };
    if (points.length === 2) this.ruled(points);
  }
}
