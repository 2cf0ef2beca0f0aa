// The list of images as the filters order it, fetched page by page: ten thousand images are described only as far as
// they are looked at.

import { images } from "./api.js";

const PAGE = 500;

export class Listing extends EventTarget {
  constructor() {
    super();
    this.filters = { status: "", sort: "name", order: "asc", query: "" };
    this.clear();
  }

  clear() {
    this.items = []; // sparse
    this.total = 0;
    this.counts = {};
    this.places = new Map(); // id as text -> index
    this.pages = new Map(); // page -> promise
    this.left = 0; // loaded images that no longer fit the filter: the server's later pages moved up by so many
  }

  /** Fetches the list anew. */
  async refresh(filters = this.filters) {
    this.filters = filters;
    this.clear();
    await this.load(0);
  }

  /** Makes sure that the image at ``index`` is known. */
  load(index) {
    const page = Math.floor(index / PAGE);
    if (!this.pages.has(page)) this.pages.set(page, this.#fetch(page));
    return this.pages.get(page);
  }

  async #fetch(page) {
    const { pages } = this;
    try {
      const offset = Math.max(0, page * PAGE - this.left);
      const answer = await images({ ...this.filters, offset, limit: PAGE });
      if (pages !== this.pages) return; // the filters changed meanwhile
      this.total = answer.total + this.left;
      this.counts = answer.counts;
      let at = page * PAGE;
      for (const image of answer.images) {
        if (this.places.has(String(image.id))) continue;
        this.places.set(String(image.id), at);
        this.items[at++] = image;
      }
      this.dispatchEvent(new Event("change"));
    } catch (failure) {
      pages.delete(page); // asked again when it is looked at again
      throw failure;
    }
  }

  /** Where an image stands, for which all pages are fetched if need be; -1 where the filters leave it out. */
  async find(id) {
    await this.load(0);
    const pages = this.places.has(String(id)) ? 0 : Math.ceil(this.total / PAGE);
    await Promise.all(Array.from({ length: pages }, (_, page) => this.load(page * PAGE)));
    return this.places.get(String(id)) ?? -1;
  }

  /** The id of the next (step 1) or previous (-1) image that is not damaged; null at the end of the list. */
  async beside(id, step) {
    for (let at = (await this.find(id)) + step; at >= 0 && at < this.total; at += step) {
      await this.load(at);
      const image = this.items[at];
      if (image && image.status !== "damaged") return image.id;
    }
    return null;
  }

  /** Notes a new status of an image. It stays in the list, that nothing jumps, until the list is fetched anew. */
  update(id, status) {
    const image = this.items[this.places.get(String(id))];
    if (!image || image.status === status) return;
    this.counts[image.status]--;
    this.counts[status] = (this.counts[status] ?? 0) + 1;
    if (this.filters.status)
      this.left += Number(image.status === this.filters.status) - Number(status === this.filters.status);
    image.status = status;
    this.dispatchEvent(new Event("change"));
  }
}
