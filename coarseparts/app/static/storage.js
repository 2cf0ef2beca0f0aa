// Work that is not saved yet, kept in this browser (IndexedDB) under the run's title and the image's id, so that a
// closed page, a crash or a server that is gone lose nothing.

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

/** Keeps one image's work (see Work.kept); rejects where the browser has no room or no storage. */
export const keep = (title, id, work) => run("readwrite", (store) => store.put(work, [title, id]));
export const kept = (title, id) => run("readonly", (store) => store.get([title, id]));
export const forget = (title, id) => run("readwrite", (store) => store.delete([title, id]));

/** The ids of the images of this run that have work which is not saved. */
export async function unsaved(title) {
  const keys = await run("readonly", (store) => store.getAllKeys(IDBKeyRange.bound([title], [title, []])));
  return keys.map(([, id]) => id);
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
