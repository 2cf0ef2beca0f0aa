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
  for (const old of byId("messages").children) if (old.dataset.text === text) old.remove();
}

function show(text, kind, shown, action) {
  settle(text);
  if (kind === "note") byId("messages").querySelector(".note")?.remove(); // the latest is enough
  const close = make("button", {
    type: "button",
    "aria-label": "Close this message",
    text: "×",
    on: { click: () => box.remove() },
  });
  const box = make("div", { class: `message ${kind}`, "data-text": text }, make("span", { text }));
  if (action)
    box.append(
      make("button", { type: "button", text: action.label, on: { click: () => (box.remove(), action.run()) } }),
    );
  box.append(close);
  byId("messages").append(box);
  while (byId("messages").children.length > 4) byId("messages").firstChild.remove();
  if (shown) setTimeout(() => box.remove(), shown);
}
