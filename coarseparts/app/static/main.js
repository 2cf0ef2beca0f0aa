// Puts the page together and moves between the grid and one image. The address says which image is open (#image=ID).

import * as api from "./api.js";
import * as dialogs from "./dialogs.js";
import { byId } from "./dom.js";
import { Editor } from "./editor.js";
import { Gestures } from "./gestures.js";
import { Grid } from "./grid.js";
import * as keys from "./keys.js";
import { Listing } from "./listing.js";
import { tell, warn, whisper } from "./messages.js";
import { Panel } from "./panel.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

dialogs.applyTheme();
// The token in the link was changed for a cookie; it need not stand in the address bar.
if (location.search) history.replaceState(null, "", location.pathname + location.hash);

async function start() {
  const session = await api.session();
  byId("title").textContent = session.title;
  document.title = `${session.title} · coarseparts`;
  const [part] = session.parts;
  const choices = {
    tool: session.keypoints.length ? "keypoint" : "brush",
    part: part.index,
    keypoint: session.keypoints[0] ?? null,
    erase: false,
    radius: 6,
    opacity: 0.5,
    hidden: new Set(),
    maskShown: true,
  };
  const editor = new Editor(session);
  const view = new View(byId("canvas"), editor, choices);
  const tools = new Tools(editor, view, choices, (points) => dialogs.length(editor, view, points));
  const gestures = new Gestures(byId("canvas"), view, tools, choices);
  const listing = new Listing();
  const grid = new Grid(listing, editor, (id) => (location.hash = address(id)));
  new Panel(editor, tools, choices);
  const go = travel(editor, listing, grid);
  const all = keys.table({ editor, view, tools, choices, go });
  keys.listen(all, view, gestures);
  keys.describe(all);
  dialogs.connect(editor);
  connect(editor, view, go);
  editor.addEventListener("status", ({ detail }) => listing.update(detail.id, detail.status));
  byId("boot").remove();
  if (!session.writable)
    warn("Corrections cannot be written where the server runs: what you do stays in this browser.");
  if (!session.posterior) tell("This run has no posterior: labels are saved but do not change the model's parts.");
  addEventListener("hashchange", () => route(editor, grid));
  await editor.listUnsaved();
  await route(editor, grid);
}

const address = (id) => `#image=${encodeURIComponent(id)}`;

async function route(editor, grid) {
  const [, id] = location.hash.match(/^#image=(.+)$/) ?? [];
  const fromGrid = byId("image-view").hidden;
  byId("grid-view").hidden = Boolean(id);
  byId("image-view").hidden = !id;
  if (!id) {
    const last = editor.id;
    await editor.close();
    await grid.refresh();
    // Whoever came by the search key stays there.
    return document.activeElement === byId("query")
      ? undefined
      : grid.focus(grid.listing.places.get(String(last)) ?? grid.active);
  }
  try {
    await editor.open(decodeURIComponent(id));
    if (fromGrid) byId("canvas").focus({ preventScroll: true }); // from image to image the focus stays where it is
    whisper(`${editor.work?.name} is open.`);
  } catch (failure) {
    warn(`The image is not opened: ${failure.message}`, { label: "All images", run: () => (location.hash = "") });
  }
}

/** Between images. The list is fetched when it is first needed: a reload opens the image at once. */
function travel(editor, listing, grid) {
  const step = async (by) => {
    if (editor.leaving) return;
    editor.leave();
    try {
      const id = await listing.beside(editor.id, by);
      if (id !== null) return void (location.hash = address(id));
      tell(by > 0 ? "That was the last image of the list." : "That was the first image of the list.");
    } catch (failure) {
      warn(`The images are not listed: ${failure.message}`);
    }
    editor.stay();
  };
  return {
    step,
    accept: async () => {
      const { id } = editor;
      if ((await editor.save()) && editor.id === id) await step(1); // unless one has gone elsewhere meanwhile
    },
    skip: async () => {
      const again = editor.work?.status === "skipped";
      const { id } = editor;
      if ((await editor.setStatus(again ? "new" : "skipped")) && !again && editor.id === id) await step(1);
    },
    images: () => (location.hash ? (location.hash = "") : grid.focus(grid.active)),
    search: () => {
      location.hash = "";
      byId("grid-view").hidden = false;
      byId("query").focus();
    },
  };
}

/** Opens the next image with work that is not saved. */
async function toUnsaved(editor) {
  const names = [...editor.unsaved];
  const name = names[(names.indexOf(editor.work?.name) + 1) % names.length];
  try {
    const image = await named(name);
    if (image) location.hash = address(image.id);
    else warn(`${name} has work that is not saved, but is not among these images.`);
  } catch (failure) {
    warn(`The images are not listed: ${failure.message}`);
  }
}

/** The image of a name, which others may have as their end; null where there is none. */
async function named(name) {
  for (let offset = 0, total = 1; offset < total; offset += 500) {
    const found = await api.images({ query: name.slice(-200), offset, limit: 500 });
    const image = found.images.find((each) => each.name === name);
    if (image) return image;
    total = found.total;
  }
  return null;
}

function connect(editor, view, go) {
  const on = (id, act) => byId(id).addEventListener("click", act);
  on("to-images", go.images);
  on("previous", () => go.step(-1));
  on("next", () => go.step(1));
  on("accept", go.accept);
  on("skip", go.skip);
  on("save", () => editor.save());
  on("zoom-in", () => view.zoom(1.25));
  on("zoom-out", () => view.zoom(0.8));
  on("zoom-fit", () => view.fit());
  on("discard", async () => (await dialogs.ask("sure")) === "yes" && editor.discard());
  on("to-unsaved", () => toUnsaved(editor));
  editor.addEventListener("unsaved", () => {
    const button = byId("to-unsaved");
    if (!editor.unsaved.size && document.activeElement === button) byId("main").focus({ preventScroll: true });
    button.hidden = !editor.unsaved.size;
    byId("unsaved-count").textContent = editor.unsaved.size;
  });
}

start().catch((failure) => {
  byId("boot").textContent = failure.message;
  warn(failure.message, { label: "Try again", run: () => location.reload() });
});
