// What the page asks the server, and nothing about how it looks. Every answer is JSON or bytes; every failure is a
// Failure with the server's one line for a person.

export class Failure extends Error {
  /** status: the HTTP status, 0 where the server was not reached; body: its JSON answer or {}. */
  constructor(message, status, body = {}, wait = 0) {
    super(message);
    this.status = status;
    this.body = body;
    this.wait = wait; // seconds after which to ask again
  }
}

async function answer(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server does not answer. Is `coarseparts app` still running?", 0);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  const wait = Number(response.headers.get("Retry-After")) || 1;
  throw new Failure(body.error || `The server refused it (${response.status}).`, response.status, body, wait);
}

async function json(path, options) {
  return (await answer(path, options)).json();
}

function writing(method, body, more = {}) {
  // The header tells the server that a page of its own writes, and no form on somebody else's.
  const headers = { "Content-Type": "application/json", "X-Coarseparts": "1" };
  return { method, headers, body: JSON.stringify(body), ...more };
}

const image = (id) => `/api/images/${encodeURIComponent(id)}`;

export const photoAddress = (id, max) => `${image(id)}/photo?max=${max}`;
export const thumbnailAddress = (id) => `${image(id)}/thumbnail`;

export const session = () => json("/api/session");
export const images = (query) => json(`/api/images?${new URLSearchParams(query)}`);
export const describe = (id) => json(image(id));
export const retrain = () => json("/api/retrain");
export const savedParts = (id) => json(`${image(id)}/parts`);
export const photo = async (id, max) => (await answer(photoAddress(id, max))).blob();
export const mask = async (id) => new Uint8Array(await (await answer(`${image(id)}/mask`)).arrayBuffer());

/** labels {keypoints, box, mask} -> the parts; ``signal`` gives it up. A full queue (503) is asked again, thrice. */
export async function askForParts(id, labels, signal) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await json(`${image(id)}/parts`, writing("POST", labels, { signal }));
    } catch (failure) {
      if (failure.status !== 503 || attempt === 2) throw failure;
      await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(failure.wait, 10)));
      signal.throwIfAborted();
    }
  }
}

export const saveParts = (id, body) => json(`${image(id)}/parts`, writing("PUT", body));
export const saveStatus = (id, body) => json(`${image(id)}/status`, writing("PUT", body));
export const saveScale = (body) => json("/api/scale", writing("PUT", body));
export const hold = (id, window) => json(`${image(id)}/hold`, writing("POST", { window }));

/** Lets go of an image, also while the page is being closed: ``keepalive`` outlives it. */
export function release(id, window) {
  return answer(`${image(id)}/hold`, writing("POST", { window, release: true }, { keepalive: true })).catch(() => {});
}
