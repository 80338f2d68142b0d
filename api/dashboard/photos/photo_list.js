/**
 * Which photos the grid shows: the loaded ones that match the filter. New photos are added in batches, and not while the
 * pointer is on the list or its top is out of view: then they are counted, and what is shown keeps its order. When many
 * photos wait, and all are shown, one tile stands for those, and photos that are being rendered come before the others.
 */

import { byId, setText } from "../page/elements.js";
import { count, isolatedName, photos, visible } from "../page/format.js";
import { newestFirst } from "./photo_store.js";

/** A new photo moves all others, so new photos are added at most once in this time. */
const MIN_UPDATE_MS = 900;
/** How many photos are kept while the user is at the top of the list; the slack makes trimming rare. */
const MAX_KEPT = 3000;
const SLACK = 1000;
/** The list is put in order in at most one part in so many of the time; with 100,000 photos that takes 20 ms. */
const REST = 5;

export class PhotoList {
  #store;
  #pager;
  #grid;
  #shown = [];
  /** Index of each shown entry by its id. */
  #shownAt = new Map();
  #tile;
  #updatedAt = 0;
  #frame = 0;
  #restsUntil = 0;
  #timer = 0;
  #problem = null;
  #isLoaded = false;
  #isPointedAt = false;
  #isHidden;

  /** `isHidden(id)`: whether a photo is not shown for now. */
  constructor({ store, pager, grid, tile, isHidden }) {
    this.#isHidden = isHidden;
    this.#tile = tile;
    this.#store = store;
    this.#pager = pager;
    this.#grid = grid;
    byId("newer").addEventListener("click", () => this.#showNew());
    byId("list-retry").addEventListener("click", () => (this.#isLoaded ? this.loadMore() : this.reload()));
    const section = byId("newer").parentElement;
    section.addEventListener("pointerenter", ({ pointerType }) => this.#setPointedAt(pointerType === "mouse"));
    section.addEventListener("pointerleave", () => this.#setPointedAt(false));
    window.addEventListener("scroll", () => (!byId("newer").hidden || this.#isFoldDue) && this.draw(), { passive: true });
  }

  /** Whether the first page has been loaded. */
  get isLoaded() {
    return this.#isLoaded;
  }

  /** Show photos with this status and these words (empty: all). */
  filter(filter) {
    this.#shown = [];
    this.#shownAt = new Map();
    this.#drawWhile(this.#pager.start({ ...filter, isFolded: this.#mayFold(filter) }));
  }

  /** Take the numbers of a `stats` message. */
  setStats(message) {
    this.#tile.setStats(message);
    if (this.#isFoldDue) this.draw();
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

  /** Draw the cards in the next frame, and the list as soon as it may be put in order again. */
  draw() {
    this.#grid.draw();
    this.#frame ||= requestAnimationFrame(() => this.#drawRested());
  }

  #drawRested() {
    if (performance.now() < this.#restsUntil) {
      this.#frame = requestAnimationFrame(() => this.#drawRested());
      return;
    }
    this.#frame = 0;
    const startedAt = performance.now();
    this.#drawNow();
    const endedAt = performance.now();
    this.#restsUntil = endedAt + (REST - 1) * (endedAt - startedAt);
  }

  /** Drop the oldest photos if there are very many and the user is not looking at them. */
  trim() {
    if (this.#store.size <= MAX_KEPT + SLACK || this.#grid.isScrolledAway) return;
    // First what the list does not show, such as photos that wait in the tile.
    this.#store.filter((entry) => this.#pager.includes(entry));
    if (this.#store.size <= MAX_KEPT) return;
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

  #mayFold({ status, query }) {
    return this.#tile.isNeeded && !status && !query;
  }

  /** Whether so many photos wait, or so few again, that the list should change. */
  get #isFoldDue() {
    const { filter } = this.#pager;
    return this.#mayFold(filter) !== Boolean(filter.isFolded);
  }

  #drawNow() {
    const isResting = this.#isPointedAt || this.#grid.isScrolledAway;
    if (this.#isFoldDue && !isResting) this.filter(this.#pager.filter);
    this.#tile.show(this.#pager.filter.isFolded);
    const entries = this.#sort(this.#store.newestFirst().filter((entry) => this.#pager.includes(entry)), isResting);
    const known = entries.filter((entry) => !this.#isNew(entry));
    const newCount = entries.length - known.length;
    const wait = this.#updatedAt + MIN_UPDATE_MS - performance.now();
    const isHeld = newCount > 0 && (isResting || wait > 0);
    if (newCount && !isHeld) this.#updatedAt = performance.now();
    this.#shown = isHeld ? known : entries;
    this.#shownAt = new Map(this.#shown.map(({ id }, at) => [id, at]));
    if (isHeld && !isResting) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.draw(), wait);
    }
    byId("newer").hidden = !(isHeld && isResting);
    if (isHeld && isResting) setText(byId("newer"), `↑ ${count(newCount)} new`);
    const listed = this.#shown.filter(({ id }) => !this.#isHidden(id));
    this.#grid.show(listed, this.#pager.isComplete || this.#problem !== null);
    this.#drawNotes(entries.length - this.#shown.length + listed.length);
  }

  /** While what waits is in the tile, first what is rendered now; but what is shown stays where it is while the list rests. */
  #sort(entries, isResting) {
    if (!this.#pager.filter.isFolded) return entries;
    if (isResting && this.#shown.length) {
      const placeOf = ({ id }) => this.#shownAt.get(id) ?? Infinity;
      return entries.sort((left, right) => (placeOf(left) < placeOf(right) ? -1 : Number(placeOf(left) > placeOf(right))));
    }
    const isRendered = ({ photo }) => photo.thumbnail_status === "processing";
    return [...entries.filter(isRendered), ...entries.filter((entry) => !isRendered(entry))];
  }

  /** Whether this entry would come between those that are shown; what is older than all of them is the next page. */
  #isNew(entry) {
    const last = this.#shown.at(-1);
    return last !== undefined && !this.#shownAt.has(entry.id) && newestFirst(entry, last) < 0;
  }

  #setPointedAt(isPointedAt) {
    this.#isPointedAt = isPointedAt;
    if (!byId("newer").hidden || this.#pager.filter.isFolded || this.#isFoldDue) this.draw();
  }

  #showNew() {
    this.#shown = [];
    this.#grid.scrollToTop();
    this.#drawNow();
    // The button is gone, and would take the focus with it.
    this.#grid.focusFirst();
  }

  #drawNotes(number) {
    const { filter, isComplete } = this.#pager;
    const isFiltered = Boolean(filter.status || filter.query || filter.isFolded);
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
