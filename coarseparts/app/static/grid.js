// The grid of all images. Only the tiles in sight exist, so that ten thousand images scroll as ten do.

import { thumbnailAddress } from "./api.js";
import { byId, make, percent, STATUSES } from "./dom.js";
import { warn } from "./messages.js";
import * as storage from "./storage.js";

const TILE = [160, 192]; // pixels with the gap, at least and exactly
const BEYOND = 2; // rows above and below those in sight

export class Grid {
  /** open: called with the id of the image that was chosen. */
  constructor(listing, editor, open) {
    Object.assign(this, { listing, editor, open });
    this.scroller = byId("scroller");
    this.box = byId("tiles");
    this.tiles = new Map(); // index -> element
    this.active = 0; // the tile that has or gets the focus
    listing.filters = { ...listing.filters, ...storage.setting("filters", {}) };
    this.#fillFilters();
    this.scroller.addEventListener("scroll", () => this.request());
    new ResizeObserver(() => this.request()).observe(this.scroller);
    listing.addEventListener("change", () => this.#redraw());
    editor.addEventListener("unsaved", () => this.#redraw());
    this.box.addEventListener("keydown", (event) => this.#key(event));
  }

  get columns() {
    return Math.max(1, Math.floor(this.scroller.clientWidth / TILE[0]));
  }

  async refresh() {
    try {
      await this.listing.refresh();
    } catch (failure) {
      warn(`The images are not listed: ${failure.message}`, { label: "Try again", run: () => this.refresh() });
    }
  }

  #fillFilters() {
    const { filters } = this.listing;
    const options = ["", ...STATUSES].map((value) => make("option", { value, text: value || "all" }));
    byId("status").append(...options);
    byId("query").value = filters.query;
    byId("status").value = filters.status;
    byId("sort").value = filters.sort;
    byId("descending").checked = filters.order === "desc";
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    let timer;
    byId("filters").addEventListener("input", (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#filter(), event.target.id === "query" ? 200 : 0);
    });
  }

  #filter() {
    this.listing.filters = {
      query: byId("query").value.trim(),
      status: byId("status").value,
      sort: byId("sort").value,
      order: byId("descending").checked ? "desc" : "asc",
    };
    storage.set("filters", this.listing.filters);
    this.active = 0;
    this.scroller.scrollTop = 0;
    this.refresh();
  }

  request() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#draw();
    });
  }

  #redraw() {
    for (const [index, tile] of this.tiles) {
      if (tile.dataset.says === this.#says(index)) continue; // and its picture is not fetched again
      tile.remove();
      this.tiles.delete(index);
    }
    const { total, counts } = this.listing;
    byId("total").textContent = total === 1 ? "1 image" : `${total.toLocaleString("en")} images`;
    for (const option of byId("status").options) {
      const count = counts[option.value];
      option.textContent = option.value ? `${option.value}${count === undefined ? "" : ` (${count})`}` : "all";
    }
    byId("none").hidden = total > 0;
    this.request();
  }

  #draw() {
    const { columns, scroller, listing } = this;
    if (!scroller.clientWidth) return; // not shown
    this.#stretch();
    const width = String(Math.floor(scroller.clientWidth / columns));
    const focused = this.box.contains(document.activeElement);
    const first = Math.max(0, Math.floor(scroller.scrollTop / TILE[1]) - BEYOND) * columns;
    const last = Math.min(
      listing.total,
      (Math.ceil((scroller.scrollTop + scroller.clientHeight) / TILE[1]) + BEYOND) * columns,
    );
    for (const [index, tile] of this.tiles) {
      if (index >= first && index < last && tile.dataset.width === width) continue;
      tile.remove();
      this.tiles.delete(index);
    }
    for (let index = first; index < last; index++) if (!this.tiles.has(index)) this.#add(index, columns);
    if (focused && !this.box.contains(document.activeElement))
      this.tiles.get(this.active)?.querySelector("button").focus();
  }

  // As high as all tiles, drawn or not: what is lower cannot be scrolled to.
  #stretch() {
    this.box.style.height = `${Math.ceil(this.listing.total / this.columns) * TILE[1]}px`;
  }

  // All that a tile shows: where this is the same, so is the tile.
  #says(index) {
    const image = this.listing.items[index];
    return JSON.stringify([image, this.listing.total, this.editor.unsaved.has(image?.name)]);
  }

  #add(index, columns) {
    const image = this.listing.items[index];
    if (!image) return void this.listing.load(index).catch(() => {});
    const tile = this.#tile(image, index);
    const width = Math.floor(this.scroller.clientWidth / columns);
    tile.dataset.width = width;
    tile.dataset.says = this.#says(index);
    tile.style.width = `${width}px`;
    tile.style.transform = `translate(${(index % columns) * width}px, ${Math.floor(index / columns) * TILE[1]}px)`;
    this.tiles.set(index, tile);
    this.box.append(tile);
  }

  #tile(image, index) {
    const state = this.editor.unsaved.has(image.name) ? "not saved" : image.status;
    const facts = [
      make("span", { class: `badge ${image.status}`, text: state }),
      make("span", {
        class: "sure",
        text: [image.queue_rank && `no. ${image.queue_rank}`, percent(image.confidence)].filter(Boolean).join(" · "),
      }),
    ];
    const thumbnail =
      image.status === "damaged"
        ? make("span", { class: "none", text: image.reason ?? "cannot be read" })
        : make("img", { src: thumbnailAddress(image.id), alt: "", decoding: "async", on: { error: unreadable } });
    const name = make("span", { class: "name", text: image.name, title: image.name });
    const rank = image.queue_rank && `number ${image.queue_rank} to label`;
    const button = make(
      "button",
      {
        type: "button",
        tabindex: index === this.active ? 0 : -1,
        "aria-label": [image.name, state, percent(image.confidence), rank].filter(Boolean).join(", "),
        title: image.reason ?? "",
        on: { click: () => this.#choose(index), focus: () => (this.active = index) },
      },
      thumbnail,
      name,
      make("span", { class: "facts" }, ...facts),
    );
    return make(
      "div",
      { class: "tile", role: "listitem", "aria-setsize": this.listing.total, "aria-posinset": index + 1 },
      button,
    );
  }

  #choose(index) {
    this.active = index;
    this.open(this.listing.items[index].id);
  }

  #key(event) {
    const { columns } = this;
    const rows = Math.max(1, Math.floor(this.scroller.clientHeight / TILE[1])) * columns;
    const moves = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: columns,
      ArrowUp: -columns,
      PageDown: rows,
      PageUp: -rows,
      Home: -Infinity,
      End: Infinity,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation();
    this.focus(this.active + moves[event.key]);
  }

  /** Brings the tile at ``index`` into sight and gives it the focus. */
  async focus(index) {
    this.active = Math.max(0, Math.min(this.listing.total - 1, index));
    await this.listing.load(this.active).catch(() => {});
    this.#stretch(); // it may not have been drawn since the list was fetched
    const top = Math.floor(this.active / this.columns) * TILE[1];
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    if (top + TILE[1] > scrollTop + clientHeight) this.scroller.scrollTop = top + TILE[1] - clientHeight;
    this.#draw();
    const button = this.tiles.get(this.active)?.querySelector("button");
    this.box.querySelector('[tabindex="0"]')?.setAttribute("tabindex", -1);
    button?.setAttribute("tabindex", 0);
    button?.focus({ preventScroll: true });
  }
}

function unreadable(event) {
  event.target.replaceWith(make("span", { class: "none", text: "cannot be read" }));
}
