// The keys: one table, by which they act and from which the help is written.

import { applyTheme } from "./dialogs.js";
import { byId, make } from "./dom.js";
import { whisper } from "./messages.js";
import * as storage from "./storage.js";
import { TOOLS } from "./tools.js";

const STEP = 8; // screen pixels that an arrow moves the cursor
const FAR = 48; // with Ctrl

/** Every key of the page: {keys, says, where: "image" | "canvas" | "anywhere", run(event, key)}. */
export function table({ editor, view, tools, choices, go }) {
  const tool = ([name, { key, says, name: title }]) => ({
    keys: [key],
    says: `${title}: ${says}`,
    where: "image",
    run: () => tools.choose(name),
  });
  const brush = (factor) => () =>
    change({ radius: Math.min(200, Math.max(0.5, Math.round(10 * choices.radius * factor) / 10)) });
  const opacity = (step) => () => change({ opacity: Math.min(1, Math.max(0, choices.opacity + step)) });
  const change = (changes) => {
    Object.assign(choices, changes);
    editor.changed();
  };
  return [
    ...Object.entries(TOOLS).map(tool),
    {
      keys: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
      says: "Choose that part (0 the background), or that keypoint",
      where: "image",
      run: (_, key) => choose(Number(key), editor, choices),
    },
    {
      keys: ["t", "Shift+T"],
      says: "Choose the next part or keypoint, the one before",
      where: "image",
      run: (event) => choose(null, editor, choices, event.shiftKey ? -1 : 1),
    },
    {
      keys: ["e"],
      says: "Erase instead of drawing, and back",
      where: "image",
      run: () => change({ erase: !choices.erase }),
    },
    { keys: ["["], says: "Smaller brush", where: "image", run: brush(1 / 1.25) },
    { keys: ["]"], says: "Larger brush", where: "image", run: brush(1.25) },
    {
      keys: ["w"],
      says: "Go to the photograph, to move the cursor there",
      where: "image",
      run: () => view.canvas.focus(),
    },
    {
      keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"],
      says: "Move the cursor; with Shift by a pixel of the photograph, with Ctrl far",
      where: "canvas",
      run: (event, key) => moveCursor(event, key, view, tools, editor),
    },
    {
      keys: ["Enter"],
      says: "Act at the cursor; for what is drawn: pen down, pen up",
      where: "canvas",
      run: () => tools.press(cursor(view)),
    },
    { keys: ["c", "Shift+Enter"], says: "Close the polygon", where: "image", run: () => tools.close() },
    {
      keys: ["Delete", "Backspace"],
      says: "Delete the chosen keypoint, the box or the last corner, by the tool",
      where: "canvas",
      run: () => tools.remove(),
    },
    { keys: ["Escape"], says: "Give up what is being drawn", where: "image", run: () => tools.cancel() },
    { keys: ["Ctrl+Z"], says: "Undo", where: "image", run: () => editor.undo() },
    { keys: ["Ctrl+Shift+Z", "Ctrl+Y"], says: "Redo", where: "image", run: () => editor.redo() },
    {
      keys: ["+", "="],
      says: "Zoom in",
      where: "image",
      run: () => view.zoom(1.25, view.cursor ? view.toScreen(view.cursor) : undefined),
    },
    {
      keys: ["-"],
      says: "Zoom out",
      where: "image",
      run: () => view.zoom(0.8, view.cursor ? view.toScreen(view.cursor) : undefined),
    },
    { keys: ["z"], says: "Whole image", where: "image", run: () => view.fit() },
    { keys: [","], says: "Parts clearer", where: "image", run: opacity(-0.1) },
    { keys: ["."], says: "Parts denser", where: "image", run: opacity(0.1) },
    {
      keys: ["o"],
      says: "Parts shown or not",
      where: "image",
      run: () => change({ opacity: choices.opacity ? 0 : 0.5 }),
    },
    { keys: ["r"], says: "Ask the model again", where: "image", run: () => editor.ask() },
    { keys: ["a"], says: "Accept, next image", where: "image", run: () => go.accept() },
    { keys: ["Ctrl+S"], says: "Save", where: "image", run: () => editor.save() },
    { keys: ["s"], says: "Skip, next image", where: "image", run: () => go.skip() },
    { keys: ["n", "PageDown"], says: "Next image", where: "image", run: () => go.step(1) },
    { keys: ["Shift+N", "PageUp"], says: "Previous image", where: "image", run: () => go.step(-1) },
    { keys: ["l"], says: "All images (there: arrows, Home, End, Enter)", where: "anywhere", run: () => go.images() },
    { keys: ["/"], says: "Search images by name", where: "anywhere", run: () => go.search() },
    { keys: ["Shift+R"], says: "Retrain", where: "anywhere", run: () => byId("open-retrain").click() },
    { keys: ["i"], says: "Settings", where: "anywhere", run: () => byId("open-settings").click() },
    { keys: ["d"], says: "Dark page or light", where: "anywhere", run: switchTheme },
    { keys: ["?"], says: "This list", where: "anywhere", run: () => byId("open-help").click() },
  ];
}

export function listen(keys, view, gestures) {
  const act = new Map(keys.flatMap((entry) => entry.keys.map((key) => [key, entry])));
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || event.isComposing) return;
    if (event.key === " " && event.target === view.canvas) return ((gestures.space = true), event.preventDefault());
    const entry = act.get(named(event)) ?? (event.key.startsWith("Arrow") ? act.get(event.key) : undefined);
    if (!entry || !allowed(event, entry, view)) return;
    event.preventDefault();
    entry.run(event, event.key);
  });
  addEventListener("keyup", (event) => event.key === " " && (gestures.space = false));
}

export function describe(keys) {
  const shown = (key) => ({ ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" })[key] ?? key;
  const rows = keys.map(({ keys: names, says }) => {
    const several = names.length > 4 ? [names[0], names.at(-1)] : names;
    const words = several.flatMap((key, i) => [
      i ? (several === names ? " " : " … ") : "",
      make("kbd", { text: shown(key) }),
    ]);
    return make("tr", {}, make("td", {}, ...words), make("td", { text: says }));
  });
  byId("key-list").replaceChildren(make("table", {}, make("tbody", {}, ...rows)));
}

// "k", "Shift+N", "Ctrl+Shift+Z", "?": with Shift only where the key is a letter or has a name.
function named(event) {
  const letter = /^[a-z]$/i.test(event.key);
  const withShift = event.shiftKey && (letter || event.key.length > 1);
  const control = event.ctrlKey || event.metaKey;
  if (event.altKey) return "";
  const key = letter ? (withShift || control ? event.key.toUpperCase() : event.key.toLowerCase()) : event.key;
  return `${control ? "Ctrl+" : ""}${withShift ? "Shift+" : ""}${key}`;
}

function allowed(event, { where }, view) {
  const { target } = event;
  if (where !== "anywhere" && byId("image-view").hidden) return false;
  if (where === "canvas" && target !== view.canvas) return false;
  const single = event.key.length === 1 && !event.ctrlKey && !event.metaKey;
  if (single && !storage.setting("single-keys", true)) return false;
  const types = target.matches?.("input:not([type=radio], [type=checkbox], [type=range]), select, textarea");
  return !types;
}

function choose(number, editor, choices, step = 0) {
  const { session } = editor;
  const points = choices.tool === "keypoint";
  const names = points ? session.keypoints : session.parts.map(({ name }) => name);
  const now = points ? names.indexOf(choices.keypoint) : choices.part - 1;
  const index = number === null ? (now + step + names.length) % names.length : number - 1;
  if (points && names[index]) choices.keypoint = names[index];
  else if (!points && (names[index] || (index === -1 && !session.overlapping))) choices.part = index + 1;
  else return;
  whisper(names[index] ?? "background");
  editor.changed();
}

function switchTheme() {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  storage.set("theme", dark ? "light" : "dark");
  applyTheme();
}

function cursor(view) {
  const middle = [view.canvas.clientWidth / 2, view.canvas.clientHeight / 2];
  return (view.cursor ??= view.toImage(middle).map(Math.round));
}

function moveCursor(event, key, view, tools, { work }) {
  if (!work) return;
  const step = event.shiftKey ? 1 : (event.ctrlKey || event.metaKey ? FAR : STEP) / view.scale;
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  const [x, y] = cursor(view);
  const limit = (value, size) => Math.min(size, Math.max(0, value));
  view.cursor = [limit(x + dx * step, work.width), limit(y + dy * step, work.height)];
  view.show(view.cursor);
  tools.move(view.cursor);
  view.request(!tools.active);
  whisper(view.cursor.map((value) => Math.round(value)).join(", "));
}
