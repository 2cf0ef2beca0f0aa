// What the page says: seen at its foot and read out by screen readers (two live regions stand in index.html).

import { byId, make } from "./dom.js";

const SHOWN = 6000; // milliseconds; what failed stays until it is closed or repeated

/** Tells something that needs nothing done. */
export function tell(text) {
  byId("polite").textContent = text;
  show(text, "note", SHOWN);
}

/** Read out only: where the cursor is, what was chosen. */
export function whisper(text) {
  byId("polite").textContent = text;
}

/** Tells what failed and what to do; ``action`` = {label, run} is a button beside it. */
export function warn(text, action) {
  byId("alert").textContent = text;
  show(text, "failure", 0, action);
}

/** Takes away what was said: it is true no more. */
export function settle(text) {
  for (const old of [...byId("messages").children]) if (old.dataset.text === text) remove(old);
}

// Who was in it goes on in the page, not at its top.
function remove(box) {
  const inside = box?.contains(document.activeElement);
  box?.remove();
  if (inside) byId("main").focus({ preventScroll: true });
}

function show(text, kind, shown, action) {
  settle(text);
  if (kind === "note") remove(byId("messages").querySelector(".note")); // the latest is enough
  const close = make("button", {
    type: "button",
    "aria-label": "Close this message",
    text: "×",
    on: { click: () => remove(box) },
  });
  const box = make("div", { class: `message ${kind}`, "data-text": text }, make("span", { text }));
  if (action)
    box.append(
      make("button", { type: "button", text: action.label, on: { click: () => (remove(box), action.run()) } }),
    );
  box.append(close);
  byId("messages").append(box);
  while (byId("messages").children.length > 4) remove(byId("messages").firstChild);
  if (shown) setTimeout(() => remove(box), shown);
}
