// The dialogs: help, retraining, settings, the ruler's length, two works on one image.

import * as api from "./api.js";
import { byId } from "./dom.js";
import { tell, warn } from "./messages.js";
import * as storage from "./storage.js";

/** Shows a dialog; resolves to the value of the button that closed it, "" for Escape. */
export function ask(id) {
  const dialog = byId(id);
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

export function applyTheme() {
  document.documentElement.dataset.theme = storage.setting("theme", "");
}

export function connect(editor) {
  byId("open-help").addEventListener("click", () => ask("help"));
  byId("open-retrain").addEventListener("click", retrain);
  byId("open-settings").addEventListener("click", () => settings(editor));
  byId("copy-command").addEventListener("click", () => copy(byId("retrain-command")));
  byId("copy-lines").addEventListener("click", () => copy(byId("retrain-lines")));
  for (const dialog of document.querySelectorAll("dialog")) {
    // A click beside the dialog closes it as Escape does; one on its rim, or a drag that ends outside, does not.
    dialog.addEventListener("pointerdown", (event) => beside(dialog, event) && dialog.close(""));
  }
  editor.addEventListener("conflict", (event) => conflict(editor, event.detail));
}

function beside(dialog, { clientX: x, clientY: y, target }) {
  const { left, right, top, bottom } = dialog.getBoundingClientRect();
  return target === dialog && (x < left || x > right || y < top || y > bottom);
}

async function retrain() {
  try {
    const { command, new_masks: masks, data_file_lines: lines } = await api.retrain();
    byId("retrain-count").textContent =
      masks === 1 ? "1 image has new part masks." : `${masks} images have new part masks.`;
    byId("retrain-how").hidden = !masks;
    byId("retrain-lines").textContent = Array.isArray(lines) ? lines.join("\n") : lines;
    byId("retrain-command").textContent = command;
    await ask("retrain");
  } catch (failure) {
    warn(`No command: ${failure.message}`);
  }
}

async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    tell("Copied.");
  } catch {
    getSelection().selectAllChildren(element); // clipboards are closed to pages without https
    tell("Selected: copy it with Ctrl+C.");
  }
}

async function settings(editor) {
  const author = (byId("author").value = storage.setting("author", editor.session.author ?? ""));
  byId("theme").value = storage.setting("theme", "");
  byId("single-keys").checked = storage.setting("single-keys", true);
  await ask("settings");
  // Only a name that was written here goes before the one with which the command was started.
  if (byId("author").value !== author) storage.set("author", byId("author").value.trim());
  storage.set("theme", byId("theme").value);
  storage.set("single-keys", byId("single-keys").checked);
  applyTheme();
}

/** The ruler's two points -> a scale on the server, if a length is given. */
export async function length(editor, view, points) {
  const pixels = Math.hypot(points[0][0] - points[1][0], points[0][1] - points[1][1]);
  byId("length-pixels").textContent = `${pixels.toFixed(1)} pixels of the photograph.`;
  byId("length-unit").value = storage.setting("unit", "mm");
  const { work } = editor;
  const answer = await ask("length");
  const [value, unit] = [Number(byId("length-value").value.replace(",", ".")), byId("length-unit").value];
  const others = byId("length-others").checked;
  if (answer === "save" && value > 0 && pixels > 0) {
    storage.set("unit", unit);
    try {
      const scale = await api.saveScale({ image: work.id, points, length: value, unit, others });
      const said = `${value} ${unit}, so ${Number(scale.pixels_per_unit.toPrecision(4))} pixels per ${unit}`;
      tell(`Scale saved: ${said}${others ? ", for all images without one" : ""}.`);
    } catch (failure) {
      return warn(`The scale is not saved: ${failure.message}`, {
        label: "Try again",
        run: () => length(editor, view, points),
      });
    }
  } else if (answer === "save") tell("No scale is saved: the length and the distance of the points must be above 0.");
  view.draft = null;
  view.request(true);
}

async function conflict(editor, { work, revision, again }) {
  const answer = await ask("conflict");
  if (editor.work !== work) return;
  if (answer === "mine") {
    work.revision = revision;
    await again();
  } else if (answer === "theirs") await editor.discard();
  else warn("Not saved: somebody saved this image since you opened it. Your work stays in this browser.");
}
