// Making elements. Texts are set as text, never as markup: names come from folders and files.

/** An element with properties (``class``, ``text``, ``on`` = {event: handler}, others as attributes) and children. */
export function make(tag, { text, on = {}, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, value === true ? "" : value);
  }
  for (const [event, handler] of Object.entries(on)) element.addEventListener(event, handler);
  element.append(...children);
  return element;
}

export const byId = (id) => document.getElementById(id);

/** "0.873" -> "87 %"; nothing known -> "". */
export const percent = (share) => (share === null || share === undefined ? "" : `${Math.round(100 * share)} %`);

export const STATUSES = ["new", "accepted", "corrected", "skipped", "damaged"];
