// The life of the image that is open: loaded, asked about, kept in this browser, held, saved. It shows nothing itself:
// who does listens to "change" (anything), "open", "status" (of an image) and "unsaved" (the names in ``unsaved``).

import * as api from "./api.js";
import { settle, tell, warn } from "./messages.js";
import * as storage from "./storage.js";
import { Work } from "./work.js";

const PAUSE = 150; // milliseconds without a further change after which the model is asked
const RENEWAL = 20000; // milliseconds between two words to the server that this image is still open here
const LARGEST = 2048; // pixels of the photograph's longer side that are fetched

export class Editor extends EventTarget {
  constructor(session) {
    super();
    this.session = session;
    // Drafts of another folder or of other parts must never come up here: their values would mean something else.
    this.key = session.key ?? JSON.stringify([session.title, session.parts.map(({ name }) => name)]);
    this.window = [...crypto.getRandomValues(new Uint8Array(8))]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join("");
    this.id = null; // of the image that is open or was the last one
    this.work = null;
    this.photo = null;
    this.leaving = false; // whether another image was asked for: what is pressed now is not meant for this one
    this.said = []; // warnings that concern the open image
    this.asking = false;
    this.saving = false;
    this.elsewhere = false; // whether another window has this image open
    this.unsaved = new Set();
    this.unkept = false; // whether this browser could not keep the work
    this.opening = 0;
    this.keeping = Promise.resolve();
    setInterval(() => this.#hold(), RENEWAL);
    storage.live(this.window);
    addEventListener("pagehide", () => this.work && api.release(this.work.id, this.window));
    addEventListener("pageshow", (event) => event.persisted && this.#hold());
    addEventListener("beforeunload", (event) => this.unkept && event.preventDefault());
  }

  /** Whether an image is open that can be worked on. */
  get usable() {
    return Boolean(this.work) && !this.leaving && this.work.status !== "damaged";
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  async listUnsaved() {
    try {
      this.unsaved = new Set(await storage.unsaved(this.key));
    } catch {
      warn("This browser keeps nothing for this page (private window?): save before you close it.");
    }
    this.dispatchEvent(new Event("unsaved"));
  }

  /** Opens an image: the saved parts, what this browser kept, or else what the model says. */
  async open(id) {
    await this.close();
    this.id = id;
    const mine = ++this.opening;
    const about = await this.#describe(id);
    const work = new Work(this.session, about);
    const damaged = about.status === "damaged";
    const [photo] = damaged ? [null] : await Promise.all([loadPhoto(id), this.#fill(work, about)]);
    if (mine !== this.opening) return photo?.close(); // another was opened meanwhile
    Object.assign(this, { work, photo, elsewhere: false });
    work.touch();
    if (damaged) this.#warn(`${work.name} cannot be worked on: ${work.reason ?? "damaged"}`);
    if (about.another) this.#warn(`${work.name} is not the photograph that was saved under this name. ${LOOK}`);
    this.dispatchEvent(new Event("open"));
    this.changed();
    if (damaged) return;
    this.#hold();
    if (!work.known || (work.unanswered && !work.edited)) this.ask();
  }

  /** Leaves the open image; its work stays in this browser where it is not saved. */
  async close() {
    this.opening++;
    this.leave();
    this.#giveUp();
    this.said.splice(0).forEach(settle);
    await this.keeping;
    this.leaving = false;
    if (!this.work) return;
    api.release(this.work.id, this.window);
    this.photo?.close();
    Object.assign(this, { work: null, photo: null });
    this.changed();
  }

  // It may have turned out to be damaged, or whole again, or somebody saved it, since it was listed.
  async #describe(id) {
    const about = await api.describe(id);
    this.dispatchEvent(new CustomEvent("status", { detail: { id: about.id, status: about.status } }));
    return about;
  }

  /** Ends what is being drawn; nothing more happens to the open image until ``stay``, or until another one is open. */
  leave() {
    this.#settle();
    this.leaving = true;
  }

  stay() {
    this.leaving = false;
  }

  async #fill(work, about) {
    const kept = await storage.kept(this.key, work.name, this.window).catch(() => null);
    if (kept && work.restore(kept)) {
      if (kept.window !== this.window) {
        // Taken over: it is this window's from now on, and there once.
        await storage.keep(this.key, work.name, this.window, work.kept());
        await storage.forget(this.key, work.name, kept.window);
      }
      tell(`Your work on ${work.name} that was not saved is here again.`);
      if (work.drawnOn !== about.pixels)
        this.#warn(`${work.name} is not the photograph that you worked on under this name. ${LOOK}`);
      const since = kept.revision !== about.revision;
      if (since) this.#warn(`Somebody saved ${work.name} since. Yours is kept; saving will ask which one stays.`);
      return;
    }
    await this.#fromServer(work, about);
  }

  async #fromServer(work, about) {
    if (about.labels.mask) await work.readMask(await api.mask(work.id));
    if (!["accepted", "corrected"].includes(about.status)) return;
    try {
      await work.loaded(await api.savedParts(work.id), about.status);
    } catch (failure) {
      if (failure.status !== undefined && ![404, 410].includes(failure.status)) throw failure;
      this.#warn(`What was saved for ${work.name} is not shown. ${failure.message} Saving puts it aside.`);
    }
  }

  /** Throws this browser's work on the open image away and takes the server's. */
  async discard() {
    const { id, name } = this.work;
    this.work.dirty = false;
    await this.#forget(name);
    await this.open(id);
  }

  /** After labels, mask or parts changed: kept in this browser; the model is asked where its answer may be shown. */
  noted(what) {
    const asks = what !== "parts" && !this.work.edited;
    this.work.touch();
    this.work.unanswered ||= asks; // kept, too: the page may be left before the answer
    this.#keep(this.work);
    if (asks) this.ask();
    this.changed();
  }

  undo() {
    if (!this.usable) return;
    this.#settle();
    this.#back(this.work.undo(), "Nothing to undo.");
  }

  redo() {
    if (!this.usable) return;
    this.#settle();
    this.#back(this.work.redo(), "Nothing to do again.");
  }

  // Whoever draws ends the stroke that goes on, so that it counts.
  #settle() {
    this.dispatchEvent(new Event("settle"));
  }

  #back(what, otherwise) {
    if (what) this.noted(what);
    else tell(otherwise);
  }

  /** Asks the model for the parts, once changes pause; an answer to an older question is dropped. */
  ask() {
    if (!this.usable) return;
    this.#settle(); // a stroke that goes on would end on other parts than it began
    this.#giveUp();
    const question = (this.question = new AbortController());
    this.asking = true;
    this.changed();
    this.timer = setTimeout(() => this.#ask(this.work, question), PAUSE);
  }

  async #ask(work, question) {
    try {
      const answer = await api.askForParts(work.id, await work.labelsToSend(), question.signal);
      const parts = await work.read(answer.parts);
      if (question.signal.aborted) return;
      work.answered(parts, answer);
      if (work.dirty) this.#keep(work);
    } catch (failure) {
      if (failure.name !== "AbortError" && !question.signal.aborted) {
        this.#warn(`No parts from the model: ${failure.message}`, {
          label: "Ask again",
          run: () => this.work === work && this.ask(),
        });
      }
    }
    if (question === this.question) this.#giveUp();
    this.changed();
  }

  /** Whether parts may be drawn now: over what is shown, never over nothing because the model has not answered yet. */
  mayDraw() {
    if (this.asking && !this.work.known)
      return this.#refuse("The model is still looking for the parts; draw when they are shown.");
    if (this.asking) this.#giveUp(); // its answer would replace what is about to be drawn
    return true;
  }

  #giveUp() {
    clearTimeout(this.timer);
    this.question?.abort();
    this.question = null;
    this.asking = false;
  }

  // One write at a time and always of the latest work; the page may be closed at any moment.
  #keep(work) {
    this.unsaved.add(work.name);
    this.dispatchEvent(new Event("unsaved"));
    this.keeping = storage.keep(this.key, work.name, this.window, work.kept()).then(
      () => (this.unkept = false),
      () => {
        this.unkept = true;
        warn("This browser has no room to keep your work: save before you close the page.");
      },
    );
  }

  async #forget(name) {
    await this.keeping;
    await storage.forget(this.key, name, this.window).catch(() => {});
    await this.listUnsaved();
  }

  /** Saves parts and labels. Returns whether they are on the server now; where not, they stay in this browser. */
  async save() {
    const work = this.work;
    if (!this.usable || this.saving) return false;
    this.#settle();
    if (!work.known || this.asking)
      return this.#refuse("The model is still looking for the parts; save when they are shown.");
    work.touch();
    const send = async () => {
      const { revision, seconds, version, pixels } = work;
      const status = work.edited ? "corrected" : "accepted";
      const author = storage.setting("author", this.session.author ?? "");
      const [parts, labels] = await Promise.all([work.partsToSend(), work.labelsToSend()]);
      const saved = await api.saveParts(work.id, {
        parts,
        labels,
        status,
        revision,
        seconds,
        author,
        window: this.window,
        pixels,
      });
      work.dirty = work.version !== version; // drawn on while it was being saved
      work.drawnOn = pixels; // whoever saves has looked
      return saved;
    };
    const failed = () => {
      work.dirty = true;
      this.#keep(work);
    };
    return this.#saving(work, send, failed, () => this.save());
  }

  /** Sets the open image aside ("skipped") or takes it up again ("new"). */
  async setStatus(status) {
    const work = this.work;
    if (!this.usable || this.saving) return false;
    const { revision } = work;
    const send = () => api.saveStatus(work.id, { status, revision, window: this.window });
    const done = await this.#saving(
      work,
      send,
      () => {},
      () => this.setStatus(status),
    );
    // What had been saved before it was skipped is there again.
    if (done && work.status !== status && !work.dirty && this.work === work) await this.open(work.id);
    return done;
  }

  async #saving(work, send, failed, again) {
    this.saving = true;
    this.changed();
    try {
      const { revision, status } = await send();
      Object.assign(work, { revision, status });
      if (work.dirty) this.#keep(work); // with the new revision
      else await this.#forget(work.name);
      this.dispatchEvent(new CustomEvent("status", { detail: { id: work.id, status } }));
      tell(`${work.name}: ${status}.`);
      settle(NOT_SAVED);
      return true;
    } catch (failure) {
      failed();
      if (failure.status === 409) {
        this.dispatchEvent(new CustomEvent("conflict", { detail: { work, revision: failure.body.revision, again } }));
      } else {
        // The button acts on the image that it was said of, whichever is open then.
        const here = () => (this.work === work ? again() : tell(`Open ${work.name} to save it.`));
        warn(`${NOT_SAVED} ${failure.message}`, { label: "Try again", run: here });
      }
      return false;
    } finally {
      this.saving = false;
      this.changed();
    }
  }

  #warn(text, action) {
    this.said.push(text);
    warn(text, action);
  }

  #refuse(text) {
    tell(text);
    return false;
  }

  async #hold() {
    const work = this.work;
    if (!this.usable) return;
    const other = `${work.name} is open in another window, too. Whoever saves second is asked which work stays.`;
    try {
      await api.hold(work.id, this.window);
      this.elsewhere = false;
      settle(other);
    } catch (failure) {
      if (failure.status !== 423 || this.work !== work) return; // not reached: saving will say so
      if (!this.elsewhere) this.#warn(other);
      this.elsewhere = true;
    }
    this.changed();
  }
}

const LOOK = "Look whether the parts and labels fit before you save.";
const NOT_SAVED = "Not saved; your work stays in this browser.";

async function loadPhoto(id) {
  return createImageBitmap(await api.photo(id, LARGEST));
}
