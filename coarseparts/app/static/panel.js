// What stands beside and above the photograph: the tools, the legend of the parts, the keypoints, and what can be done.

import { byId, make, percent } from "./dom.js";
import { DRAWS, TOOLS } from "./tools.js";

export class Panel {
  constructor(editor, tools, choices) {
    Object.assign(this, { editor, tools, choices });
    this.#makeTools();
    this.#makeParts();
    this.#makeKeypoints();
    this.#connect();
    editor.addEventListener("change", () => this.render());
  }

  #makeTools() {
    this.toolButtons = Object.entries(TOOLS)
      .filter(([tool]) => tool !== "keypoint" || this.editor.session.keypoints.length)
      .map(([tool, { name, key, says }]) => {
        const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
        use.setAttribute("href", `#i-${tool}`);
        icon.append(use);
        icon.setAttribute("aria-hidden", "true");
        const choose = () => this.tools.choose(tool);
        const button = make("button", {
          type: "button",
          "aria-keyshortcuts": key,
          title: `${says} (${key})`,
          on: { click: choose },
        });
        button.append(icon, make("span", { text: name }));
        button.dataset.tool = tool;
        return button;
      });
    byId("tools").append(...this.toolButtons);
  }

  #makeParts() {
    const { overlapping, parts } = this.editor.session;
    const rows = overlapping ? parts : [...parts, { index: 0, name: "background", color: null }];
    this.partRows = rows.map(({ index, name, color }) => {
      const radio = make("input", {
        type: "radio",
        name: "part",
        value: index,
        on: { click: () => this.#choosePart(index) },
      });
      const swatch = make("span", { class: color ? "swatch" : "swatch none" });
      if (color) swatch.style.background = color;
      const score = make("span", { class: "score" });
      const row = make(
        "div",
        { class: "row" },
        make("label", {}, radio, swatch, make("span", { class: "name", text: name })),
        score,
      );
      const eye = color && this.#eye(name);
      if (eye) row.append(eye);
      return { index, name, row, radio, score, eye };
    });
    byId("parts").append(...this.partRows.map(({ row }) => row));
  }

  #eye(name) {
    const toggle = (event) => {
      this.choices.hidden[event.target.checked ? "delete" : "add"](name);
      this.editor.changed();
    };
    return make("input", {
      type: "checkbox",
      class: "eye",
      checked: true,
      title: "shown",
      "aria-label": `Show ${name}`,
      on: { change: toggle },
    });
  }

  #choosePart(index) {
    this.choices.part = index;
    if (!DRAWS.includes(this.choices.tool)) this.tools.choose("brush");
    this.editor.changed();
  }

  #makeKeypoints() {
    const { keypoints } = this.editor.session;
    byId("keypoint-set").hidden = !keypoints.length;
    this.keypointRows = keypoints.map((name) => {
      const choose = () => {
        this.choices.keypoint = name;
        if (this.choices.tool !== "keypoint") this.tools.choose("keypoint");
        this.editor.changed();
      };
      const radio = make("input", { type: "radio", name: "keypoint", value: name, on: { click: choose } });
      const place = make("span", { class: "score" });
      const remove = () => this.tools.removeKeypoint(name);
      const drop = make("button", {
        type: "button",
        class: "drop",
        text: "×",
        "aria-label": `Delete ${name}`,
        on: { click: remove },
      });
      const row = make(
        "div",
        { class: "row" },
        make("label", {}, radio, make("span", { class: "name", text: name })),
        place,
        drop,
      );
      return { name, row, radio, place, drop };
    });
    byId("keypoints").append(...this.keypointRows.map(({ row }) => row));
  }

  #connect() {
    const { editor, tools, choices } = this;
    const on = (id, event, act) => byId(id).addEventListener(event, act);
    on("erase", "change", (event) => ((choices.erase = event.target.checked), editor.changed()));
    on("radius", "input", (event) => ((choices.radius = radiusAt(event.target.value)), editor.changed()));
    on("opacity", "input", (event) => ((choices.opacity = event.target.value / 100), editor.changed()));
    on("mask-shown", "change", (event) => ((choices.maskShown = event.target.checked), editor.changed()));
    on("drop-box", "click", () => ((choices.tool = "box"), tools.remove()));
    on("drop-mask", "click", () => tools.removeMask());
    on("ask", "click", () => editor.ask());
    on("undo", "click", () => editor.undo());
    on("redo", "click", () => editor.redo());
  }

  render() {
    const { choices, editor } = this;
    const { work } = editor;
    for (const button of this.toolButtons) button.setAttribute("aria-pressed", button.dataset.tool === choices.tool);
    byId("canvas").classList.toggle("moves", choices.tool === "pan");
    byId("erase").checked = choices.erase;
    byId("radius").value = sliderAt(choices.radius);
    byId("radius").setAttribute("aria-valuetext", `${choices.radius} pixels`);
    byId("opacity").value = 100 * choices.opacity;
    const { activeElement } = document;
    if (work) this.#renderWork(work);
    else for (const id of ["name", "state", "reason", "confidence"]) byId(id).textContent = "";
    // Who pressed a button that is off or gone now goes on at the photograph, not at the top of the page.
    if (activeElement?.disabled || activeElement?.hidden) byId("canvas").focus({ preventScroll: true });
  }

  #renderWork(work) {
    const { editor, choices } = this;
    byId("canvas").setAttribute("aria-label", `${work.name}, ${work.width} by ${work.height} pixels`);
    byId("name").textContent = byId("name").title = work.name;
    const state = work.dirty ? "not saved" : work.status;
    byId("state").textContent = state;
    byId("state").className = `badge ${work.dirty ? "unsaved" : work.status}`;
    byId("reason").textContent = work.reason ?? ""; // why it is worth a label, or what is damaged
    byId("busy").hidden = !editor.asking;
    byId("confidence").textContent = work.confidence === null ? "" : `· ${percent(work.confidence)} sure`;
    for (const { index, name, radio, score, eye } of this.partRows) {
      if (eye) eye.checked = !choices.hidden.has(name);
      radio.checked = index === choices.part;
      score.textContent = work.edited ? "" : percent(work.scores[name]);
    }
    for (const { name, radio, place, drop } of this.keypointRows) {
      const at = work.keypoints[name];
      radio.checked = name === choices.keypoint;
      place.textContent = at ? at.map((value) => value.toFixed(0)).join(", ") : "";
      drop.hidden = !at;
    }
    byId("object").textContent = [work.box ? "A box" : "No box", work.masked ? "a mask" : "no mask"].join(", ") + ".";
    byId("drop-box").hidden = !work.box;
    byId("drop-mask").hidden = !work.masked;
    byId("undo").disabled = !work.history.done.length;
    byId("redo").disabled = !work.history.undone.length;
    byId("discard").disabled = !work.dirty;
    byId("skip").textContent = work.status === "skipped" ? "Take up again" : "Skip";
    const closed = work.status === "damaged"; // not while it is being saved: a button that is off loses the focus
    for (const id of ["skip", "save", "accept"]) byId(id).disabled = closed;
    byId("ask").disabled = editor.asking || work.status === "damaged";
  }
}

// The slider is quadratic: small brushes are chosen finely, large ones coarsely. Radii in pixels of the photograph.
const radiusAt = (slider) => Math.round(10 * (0.5 + (slider / 100) ** 2 * 200)) / 10;
const sliderAt = (radius) => Math.round(100 * Math.sqrt(Math.max(0, radius - 0.5) / 200));
