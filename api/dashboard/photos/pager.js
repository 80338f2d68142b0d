/** Loads the photos of one filter page by page, newest first. */

import { newestFirst } from "./photo_store.js";
import { ALL_BUT_PENDING } from "./waiting_tile.js";

const PAGE_SIZE = 100;

/**
 * Pages go into the store. The store may also hold photos that are older than the last page (from another filter or from
 * the feed); these are not shown yet, or the list would have gaps.
 */
export class Pager {
  #client;
  #store;
  #cursor = null;
  /** Of each loaded page its last photo, and the cursor behind it. */
  #ends = [];
  /** The oldest entry loaded for this filter; null: none yet. */
  #oldest = null;
  #isComplete = false;
  #loading = null;
  #abort = new AbortController();

  /** The photos that the server has found for the words of the filter. */
  #found = new Set();

  /** Which photos to load: those with this status, and these words. Empty: all; with `isFolded`, all but those that wait. */
  filter;

  constructor(client, store, filter) {
    this.#client = client;
    this.#store = store;
    this.filter = filter;
  }

  /** Whether the last page has been loaded. */
  get isComplete() {
    return this.#isComplete;
  }

  get isLoading() {
    return this.#loading !== null;
  }

  /** Whether this entry matches the filter and is not older than what is loaded. */
  includes(entry) {
    const { status, query, isFolded } = this.filter;
    if (isFolded && entry.photo.thumbnail_status === "pending") return false;
    if (status && entry.photo.thumbnail_status !== status) return false;
    if (query && !this.#found.has(entry.id)) return false;
    return this.#isComplete || this.#oldest === null || newestFirst(entry, this.#oldest) <= 0;
  }

  /** Start again with photos of `filter`. The store keeps its photos until the first page arrives. */
  start(filter) {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.filter = filter;
    this.#found = new Set();
    this.#cursor = null;
    this.#ends = [];
    this.#oldest = null;
    this.#isComplete = false;
    this.#loading = null;
    return this.loadMore();
  }

  /** Load the first page again, and remove what the server no longer lists. Resolves like `loadMore`. */
  async reload() {
    const version = this.#store.version;
    const items = await this.start(this.filter);
    if (items) this.#store.keepOnly(new Set(items.map((photo) => photo.id)), version);
    return items;
  }

  /** Load the next page. Resolves with its photos, or with `null` if `start` was called in the meantime. */
  loadMore() {
    if (this.#isComplete) return Promise.resolve([]);
    this.#loading ??= this.#load(this.#abort.signal);
    return this.#loading;
  }

  /** Everything older than `entry` was removed from the store, so it has to be loaded again when needed. */
  forgetAfter(entry) {
    if (this.isLoading || !entry) return;
    this.#oldest = { photo: entry.photo };
    this.#ends = this.#ends.filter((end) => newestFirst(end, entry) <= 0);
    this.#cursor = this.#ends.at(-1)?.cursor ?? null;
    this.#isComplete = false;
  }

  async #load(signal) {
    const version = this.#store.version;
    try {
      const { query, isFolded, status } = this.filter;
      const wanted = { query, status: isFolded ? ALL_BUT_PENDING : status };
      const page = await this.#client.list({ ...wanted, cursor: this.#cursor, limit: PAGE_SIZE, signal });
      if (signal.aborted) return null;
      for (const { id } of page.items) this.#found.add(id);
      const last = page.items.at(-1);
      if (last && (this.#oldest === null || newestFirst({ photo: last }, this.#oldest) > 0)) {
        this.#oldest = { photo: last };
      }
      this.#cursor = page.next_cursor;
      if (last) this.#ends.push({ photo: last, cursor: page.next_cursor });
      this.#isComplete = !page.next_cursor;
      this.#store.applySnapshot(page.items, version);
      return page.items;
    } catch (error) {
      if (error.name === "AbortError") return null;
      throw error;
    } finally {
      if (!signal.aborted) this.#loading = null;
    }
  }
}
