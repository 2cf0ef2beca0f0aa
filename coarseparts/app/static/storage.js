// Work that is not saved yet, kept in this browser (IndexedDB) so that a closed page, a crash or a server that is gone
// lose nothing. It lies under the session's key, the image's name and the window that did it: two windows with one
// image keep two works. A window that opens an image takes up the latest work of windows that are no more.

const NAME = "coarseparts";
const STORE = "work";

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function run(mode, act) {
  const base = await database();
  return new Promise((resolve, reject) => {
    const transaction = base.transaction(STORE, mode);
    const request = act(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error ?? request.error);
    transaction.commit?.(); // at once: the page may be closing
  });
}

// Arrays come after all texts and numbers in the order of keys: every key that begins with ``start``.
const below = (...start) => IDBKeyRange.bound(start, [...start, []]);
const lock = (window) => `${NAME} ${window}`;

/** Tells other windows of this browser that this one lives, as long as it does. */
export function live(window) {
  // Pages without https have locks on this computer only.
  navigator.locks?.request(lock(window), () => new Promise(() => {}));
}

async function living() {
  const { held = [] } = (await navigator.locks?.query()) ?? {};
  return new Set(held.map(({ name }) => name));
}

/** Keeps one image's work (see Work.kept); rejects where the browser has no room or no storage. */
export const keep = (key, name, window, work) => run("readwrite", (store) => store.put(work, [key, name, window]));
export const forget = (key, name, window) => run("readwrite", (store) => store.delete([key, name, window]));

/** The work on an image of the window ``mine``, or else the latest of those that live no more, with the ``window``
 * that did it; null for none. */
export async function kept(key, name, mine) {
  const [keys, works, others] = await Promise.all([
    run("readonly", (store) => store.getAllKeys(below(key, name))),
    run("readonly", (store) => store.getAll(below(key, name))),
    living(),
  ]);
  const left = works
    .map((work, i) => ({ ...work, window: keys[i][2] }))
    .filter(({ window }) => window === mine || !others.has(lock(window)));
  const own = left.find(({ window }) => window === mine); // first, for what is taken up takes its place
  return own ?? left.sort((a, b) => b.at - a.at)[0] ?? null;
}

/** The names of the images that have work which is not saved. */
export async function unsaved(key) {
  const keys = await run("readonly", (store) => store.getAllKeys(below(key)));
  return keys.map(([, name]) => name);
}

/** A setting of this browser; ``fallback`` where there is none or storage is forbidden. */
export function setting(name, fallback) {
  try {
    return JSON.parse(localStorage.getItem(`coarseparts.${name}`)) ?? fallback;
  } catch {
    return fallback;
  }
}

export function set(name, value) {
  try {
    localStorage.setItem(`coarseparts.${name}`, JSON.stringify(value));
  } catch {
    // Forbidden or full: the setting lasts as long as the page.
  }
}
