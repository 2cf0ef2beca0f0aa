// The photograph on the screen: zoom and pan, the parts over it, the marks. It reads the editor and the choices and
// changes neither. Screen points are CSS pixels from the canvas's corner, image points pixels of the photograph.

const SHARPEST = 2; // device pixels per CSS pixel that are drawn; phones with more would only be slower
const CLOSEST = 64; // screen pixels per image pixel

export class View {
  constructor(canvas, editor, choices) {
    Object.assign(this, { canvas, editor, choices });
    this.context = canvas.getContext("2d");
    this.overlay = document.createElement("canvas");
    this.scale = 1;
    this.origin = [0, 0]; // where the photograph's corner is on the screen
    this.cursor = null; // [x, y] in the image, moved by arrows
    this.pointer = null; // [x, y] in the image, where the mouse is
    this.draft = null; // what a tool is about to make: {box}, {polygon} or {ruler}
    this.stale = true; // whether the parts have to be drawn anew
    this.waiting = false;
    new ResizeObserver(() => this.#resized()).observe(canvas);
    editor.addEventListener("open", () => this.#opened());
    editor.addEventListener("change", () => this.request());
  }

  toImage([x, y]) {
    return [(x - this.origin[0]) / this.scale, (y - this.origin[1]) / this.scale];
  }

  toScreen([x, y]) {
    return [x * this.scale + this.origin[0], y * this.scale + this.origin[1]];
  }

  #opened() {
    this.cursor = this.draft = this.pointer = null;
    this.fit();
  }

  /** Whole image in sight. */
  fit() {
    const { work } = this.editor;
    if (!work?.width) return this.request();
    const { clientWidth, clientHeight } = this.canvas;
    this.scale = Math.max(0.001, 0.96 * Math.min(clientWidth / work.width, clientHeight / work.height));
    this.fitted = this.scale;
    this.origin = [(clientWidth - work.width * this.scale) / 2, (clientHeight - work.height * this.scale) / 2];
    this.request();
  }

  /** Zooms by ``factor``; the image point under ``at`` (a screen point, the middle if none) stays where it is. */
  zoom(factor, at = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2]) {
    const scale = Math.min(CLOSEST, Math.max(this.fitted / 4, this.scale * factor));
    this.origin = this.origin.map((value, i) => at[i] - ((at[i] - value) * scale) / this.scale);
    this.scale = scale;
    this.request();
  }

  pan(dx, dy) {
    this.origin = [this.origin[0] + dx, this.origin[1] + dy];
    this.request();
  }

  /** Moves the view so far that an image point is in sight. */
  show(point) {
    const [x, y] = this.toScreen(point);
    const over = (value, size) => Math.max(0, 16 - value) - Math.max(0, value - size + 16);
    const [dx, dy] = [over(x, this.canvas.clientWidth), over(y, this.canvas.clientHeight)];
    if (dx || dy) this.pan(dx, dy);
  }

  /** Draws with the next frame; ``marks``: only marks changed, the parts are as they were. */
  request(marks = false) {
    this.stale ||= !marks;
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#draw();
    });
  }

  #resized() {
    const { canvas, overlay } = this;
    const whole = this.scale === this.fitted;
    this.ratio = Math.min(SHARPEST, devicePixelRatio || 1);
    canvas.width = overlay.width = Math.max(1, Math.round(canvas.clientWidth * this.ratio));
    canvas.height = overlay.height = Math.max(1, Math.round(canvas.clientHeight * this.ratio));
    if (whole) this.fit();
    else this.request();
  }

  #draw() {
    const { canvas, context, editor } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!editor.photo || !canvas.clientWidth) return;
    const { work, photo } = editor;
    const [scale, x, y] = [this.scale, ...this.origin].map((value) => value * this.ratio);
    context.imageSmoothingEnabled = this.scale < 4; // close up, pixels are what one works with
    context.drawImage(photo, x, y, work.width * scale, work.height * scale);
    if (this.stale) this.#drawParts(work, scale, x, y);
    this.stale = false;
    context.drawImage(this.overlay, 0, 0);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.#drawMarks(work);
  }

  // Pixel by pixel of the screen, so that parts are exact at every zoom and memory does not grow with the photograph.
  #drawParts(work, scale, left, top) {
    const { width, height } = this.overlay;
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const { fills, edges } = colours(this.editor.session, this.choices);
    const { parts } = work;
    const mask = this.choices.maskShown ? work.mask : null;
    const beyond = this.choices.tool === "mask" ? pack(0, 0, 0, 120) : 0; // what the mask leaves out, while it is drawn
    const columns = Int32Array.from({ length: width }, (_, x) => Math.floor((x + 0.5 - left) / scale));
    const first = Math.max(0, Math.ceil(left - 0.5));
    const last = Math.min(width, Math.ceil(left + work.width * scale - 0.5));
    const top0 = Math.max(0, Math.ceil(top - 0.5));
    for (let y = top0; y < Math.min(height, Math.ceil(top + work.height * scale - 0.5)); y++) {
      const row = Math.floor((y + 0.5 - top) / scale) * work.width;
      const above = y > top0 ? Math.floor((y - 0.5 - top) / scale) * work.width : row;
      for (let x = first; x < last; x++) {
        const at = row + columns[x];
        const beside = x > first ? row + columns[x - 1] : at;
        const over = above + columns[x];
        const value = parts[at];
        let colour = fills[value];
        if (value !== parts[beside]) colour = edges[value] || edges[parts[beside]];
        else if (value !== parts[over]) colour = edges[value] || edges[parts[over]];
        if (mask && (mask[at] !== mask[beside] || mask[at] !== mask[over])) colour = 0xffffffff;
        else if (mask && beyond && !mask[at]) colour = beyond;
        pixels[y * width + x] = colour;
      }
    }
    this.overlay.getContext("2d").putImageData(image, 0, 0);
  }

  #drawMarks(work) {
    if (work.box) this.#box(work.box);
    if (this.draft?.box) this.#box(this.draft.box);
    if (this.draft?.polygon) this.#path(this.draft.polygon, true);
    if (this.draft?.ruler) this.#path(this.draft.ruler, false);
    const names = Object.keys(work.keypoints);
    for (const name of names) {
      const selected = this.choices.tool === "keypoint" && name === this.choices.keypoint;
      this.#keypoint(name, this.toScreen(work.keypoints[name]), selected, selected || names.length <= 6);
    }
    if (this.pointer && ["brush", "mask"].includes(this.choices.tool)) this.#ring(this.toScreen(this.pointer));
    if (this.cursor) this.#crosshair(this.toScreen(this.cursor));
  }

  // Twice, wide and dark under narrow and light: seen on every photograph.
  #line(draw, colour = "#ffffff", dash = []) {
    for (const [style, width] of [
      ["rgb(0 0 0 / 70%)", 3.5],
      [colour, 1.5],
    ]) {
      this.context.beginPath();
      draw(this.context);
      this.context.setLineDash(width < 2 ? dash : []);
      Object.assign(this.context, { strokeStyle: style, lineWidth: width });
      this.context.stroke();
    }
    this.context.setLineDash([]);
  }

  #box([x0, y0, x1, y1]) {
    const [left, top] = this.toScreen([x0, y0]);
    this.#line((pen) => pen.rect(left, top, (x1 - x0) * this.scale, (y1 - y0) * this.scale), "#ffffff", [7, 4]);
  }

  #path(points, closed) {
    const places = points.map((point) => this.toScreen(point));
    this.#line((pen) => {
      places.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      if (closed && places.length > 2) pen.closePath();
    });
    for (const [x, y] of places) this.#line((pen) => pen.arc(x, y, 3, 0, 2 * Math.PI));
  }

  #keypoint(name, [x, y], selected, named) {
    const pen = this.context;
    pen.beginPath();
    pen.arc(x, y, selected ? 7 : 5, 0, 2 * Math.PI);
    Object.assign(pen, { fillStyle: selected ? "#ffd400" : "#ffffff", strokeStyle: "#000000", lineWidth: 2 });
    pen.fill();
    pen.stroke();
    if (!named) return;
    Object.assign(pen, {
      font: "600 12px system-ui, sans-serif",
      lineWidth: 3.5,
      lineJoin: "round",
      textBaseline: "middle",
    });
    const right = x + 12 + pen.measureText(name).width < this.canvas.clientWidth;
    pen.textAlign = right ? "left" : "right";
    pen.strokeStyle = "rgb(0 0 0 / 80%)";
    pen.strokeText(name, x + (right ? 10 : -10), y);
    pen.fillStyle = "#ffffff";
    pen.fillText(name, x + (right ? 10 : -10), y);
  }

  #ring([x, y]) {
    const colour = this.choices.erase ? "#ff6f6a" : "#ffffff";
    this.#line((pen) => pen.arc(x, y, Math.max(2, this.choices.radius * this.scale), 0, 2 * Math.PI), colour);
  }

  #crosshair([x, y]) {
    if (["brush", "mask"].includes(this.choices.tool)) this.#ring([x, y]);
    const draw = (pen) => {
      for (const [dx, dy] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ]) {
        pen.moveTo(x + 5 * dx, y + 5 * dy);
        pen.lineTo(x + 18 * dx, y + 18 * dy);
      }
      pen.rect(x - 1, y - 1, 2, 2);
    };
    this.#line(draw, "#ffd400");
  }
}

/** The colour of each value of the parts' plane, as ImageData has it in 32 bits: areas and, opaque, their edges. */
export function colours({ parts, overlapping }, { opacity, hidden }) {
  const [fills, edges] = [new Uint32Array(256), new Uint32Array(256)];
  const rgb = parts.map(({ color }) => [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16)));
  for (let value = 1; value < 256; value++) {
    const has = ({ index, name }) => (overlapping ? value & (1 << (index - 1)) : value === index) && !hidden.has(name);
    const seen = rgb.filter((_, i) => has(parts[i]));
    if (!seen.length) continue;
    const mean = [0, 1, 2].map((i) => seen.reduce((sum, colour) => sum + colour[i], 0) / seen.length);
    fills[value] = pack(...mean, 255 * opacity);
    edges[value] = pack(...mean, opacity ? 255 : 0);
  }
  return { fills, edges };
}

// Every machine that runs a browser today is little endian: alpha is the highest byte.
const pack = (r, g, b, a) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
