/** Which photos are loaded: for one filter, everything from the newest down to a horizon. */

import { newestFirst } from "./album.js";

const PAGE = 100;

/**
 * Lists by cursor into the album. The album may hold older photos, loaded for another filter or brought by the feed;
 * below the horizon they are not shown, or the sheet would have gaps.
 */
export class Pager {
  #client;
  #album;
  #cursor = null;
  #horizon = null;
  #isComplete = false;
  #loading = null;
  #abort = new AbortController();

  constructor(client, album) {
    this.#client = client;
    this.#album = album;
  }

  /** The status of the photos shown; empty: all. */
  status = "";

  get isComplete() {
    return this.#isComplete;
  }

  get isLoading() {
    return this.#loading !== null;
  }

  /** Whether this entry belongs on the sheet. */
  shows(entry) {
    if (this.status && entry.photo.thumbnail_status !== this.status) return false;
    return this.#isComplete || this.#horizon === null || newestFirst(entry, this.#horizon) <= 0;
  }

  /** Begin anew with photos of `status` (empty: all). Nothing is forgotten until the first page is here. */
  begin(status) {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.status = status;
    this.#cursor = null;
    this.#horizon = null;
    this.#isComplete = false;
    this.#loading = null;
    return this.more();
  }

  /** Load anew, and drop what the server no longer lists. Resolves as `more` does. */
  async reload() {
    const turn = this.#album.turn;
    const items = await this.begin(this.status);
    if (items) this.#album.keepOnly(new Set(items.map((photo) => photo.id)), turn);
    return items;
  }

  /** Load the next page. Resolves with its photos; with `null` if it was called off by another beginning. */
  more() {
    if (this.#isComplete) return Promise.resolve([]);
    this.#loading ??= this.#load(this.#abort.signal);
    return this.#loading;
  }

  /** The album was cut after `entry`: what is older must be listed again. */
  cutAfter(entry) {
    if (this.isLoading || !entry) return;
    this.#horizon = { photo: entry.photo };
    this.#cursor = null;
    this.#isComplete = false;
  }

  async #load(signal) {
    const turn = this.#album.turn;
    try {
      const page = await this.#client.list({ status: this.status, cursor: this.#cursor, limit: PAGE, signal });
      if (signal.aborted) return null;
      const last = page.items.at(-1);
      if (last && (this.#horizon === null || newestFirst({ photo: last }, this.#horizon) > 0)) {
        this.#horizon = { photo: last };
      }
      this.#cursor = page.next_cursor;
      this.#isComplete = !page.next_cursor;
      this.#album.takeSnapshot(page.items, turn);
      return page.items;
    } catch (error) {
      if (error.name === "AbortError") return null;
      throw error;
    } finally {
      if (!signal.aborted) this.#loading = null;
    }
  }
}
