/** Which photos the grid shows: the loaded ones that match the filter. New photos are added in batches. */

import { byId } from "../page/elements.js";
import { count, isolatedName, photos, visible } from "../page/format.js";
import { newestFirst } from "./photo_store.js";

/** A new photo moves all others, so new photos are added at most once in this time. */
const MIN_UPDATE_MS = 900;
/** How many photos are kept while the user is at the top of the list; the slack makes trimming rare. */
const MAX_KEPT = 3000;
const SLACK = 1000;

export class PhotoList {
  #store;
  #pager;
  #grid;
  #shown = [];
  #shownIds = new Set();
  #updatedAt = 0;
  #frame = 0;
  #timer = 0;
  #problem = null;
  #isLoaded = false;

  constructor({ store, pager, grid }) {
    this.#store = store;
    this.#pager = pager;
    this.#grid = grid;
    byId("newer").addEventListener("click", () => this.#showNew());
    byId("list-retry").addEventListener("click", () => (this.#isLoaded ? this.loadMore() : this.reload()));
    window.addEventListener("scroll", () => !byId("newer").hidden && this.draw(), { passive: true });
  }

  /** Whether the first page has been loaded. */
  get isLoaded() {
    return this.#isLoaded;
  }

  /** Show photos with this status and these words (empty: all). */
  filter(filter) {
    this.#shown = [];
    this.#shownIds = new Set();
    this.#drawWhile(this.#pager.start(filter));
  }

  /** Load the shown photos again, because events may have been missed. */
  reload() {
    this.#drawWhile(this.#pager.reload());
  }

  /** Retry if the last request failed. */
  retry() {
    if (this.#problem) this.loadMore();
  }

  /** Load older photos. */
  loadMore() {
    if (this.#pager.isComplete || this.#pager.isLoading || !this.#isLoaded) return;
    this.#drawWhile(this.#pager.loadMore());
  }

  /** Draw in the next frame. */
  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#drawNow();
    });
  }

  /** Drop the oldest photos if there are very many and the user is not looking at them. */
  trim() {
    if (this.#store.size <= MAX_KEPT + SLACK || this.#grid.isScrolledAway) return;
    this.#store.trim(MAX_KEPT);
    this.#pager.forgetAfter(this.#store.newestFirst().at(-1));
  }

  /** Draw now, and again when `loading` is done. */
  async #drawWhile(loading) {
    this.#problem = null;
    this.draw();
    try {
      if (await loading) this.#isLoaded = true;
    } catch (problem) {
      this.#problem = problem;
    }
    this.draw();
  }

  #drawNow() {
    const entries = this.#store.newestFirst().filter((entry) => this.#pager.includes(entry));
    const newCount = this.#countNew(entries);
    const isAway = this.#grid.isScrolledAway;
    const wait = this.#updatedAt + MIN_UPDATE_MS - performance.now();
    const isHeld = newCount > 0 && (isAway || wait > 0);
    if (newCount && !isHeld) this.#updatedAt = performance.now();
    this.#shown = isHeld ? entries.slice(newCount) : entries;
    this.#shownIds = new Set(this.#shown.map(({ id }) => id));
    if (isHeld && !isAway) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.draw(), wait);
    }
    byId("newer").hidden = !(isHeld && isAway);
    if (isHeld && isAway) byId("newer").textContent = `↑ ${count(newCount)} new`;
    this.#grid.show(this.#shown, this.#pager.isComplete || this.#problem !== null);
    this.#drawNotes(entries.length);
  }

  /** How many entries at the top are newer than what is shown. */
  #countNew(entries) {
    if (!this.#shown.length) return 0;
    const first = entries.findIndex((entry) => this.#shownIds.has(entry.id) || newestFirst(entry, this.#shown[0]) > 0);
    return first < 0 ? entries.length : first;
  }

  #showNew() {
    this.#shown = [];
    byId("newer").hidden = true;
    this.#grid.scrollToTop();
    this.draw();
  }

  #drawNotes(number) {
    const { filter, isComplete } = this.#pager;
    const isFiltered = Boolean(filter.status || filter.query);
    byId("empty").hidden = !(isComplete && !number && !isFiltered && !this.#problem);
    byId("list-retry").hidden = !this.#problem;
    byId("list-note").textContent = this.#problem ? this.#problem.message : this.#noteText(number, filter, isComplete);
  }

  #noteText(number, { status, query }, isComplete) {
    if (!isComplete) return number && this.#isLoaded ? "" : "Loading…";
    if (!number && query) return `No ${status ? `${status} ` : ""}photo has a name, caption or item with ${isolatedName(visible(query))}.`;
    if (!number) return status ? `No ${status} photos.` : "";
    return number > 24 ? `End of list: ${photos(number)}` : "";
  }
}
