/** The photos that the page knows, each in its newest known state. */

/** Deletions are remembered so that a late event does not bring a photo back. */
const MOST_TOMBSTONES = 20_000;
const MOST_EVENTS_KEPT = 30;

/** @typedef {{id: string, photo: object, fromFeed: boolean, touched: number, events: object[]}} Entry */

/**
 * Two sources meet here. The feed's messages come in order of their cursors: of two, the later one wins. Lists are
 * snapshots taken at some moment of the feed: a snapshot never overwrites what the feed said after it was asked for,
 * and a message older than a snapshot (by `updated_at`) never downgrades it.
 */
export class Album {
  #entries = new Map();
  #tombstones = new Map();
  #order = [];
  #isSorted = true;
  #turn = 0;
  #onChange;

  /** `onChange(id)` for every photo that came, changed or went. */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  get size() {
    return this.#entries.size;
  }

  /** Take before asking for a snapshot; hand in with it. */
  get turn() {
    return this.#turn;
  }

  /** @returns {Entry | undefined} */
  get(id) {
    return this.#entries.get(id);
  }

  /** Every entry, newest first. @returns {Entry[]} */
  newestFirst() {
    if (!this.#isSorted) {
      this.#order = [...this.#entries.values()].sort(newestFirst);
      this.#isSorted = true;
    }
    return this.#order;
  }

  /** Take in a `photo` message of the feed. Returns the entry if its state changed by it. */
  takeMessage({ event, cursor, photo }) {
    this.#turn += 1;
    if (event === "photos.deleted" || event === "thumbnails.deleted") {
      this.bury(photo.id);
      return null;
    }
    const known = this.#entries.get(photo.id);
    if (this.#tombstones.has(photo.id)) return null;
    const seen = { event, cursor, at: photo.updated_at };
    if (known && !known.fromFeed && isOlder(photo, known.photo)) {
      remember(known, seen);
      return null;
    }
    return this.#put(photo, { fromFeed: true, seen });
  }

  /** Take in photos of a snapshot asked for at `turn`. */
  takeSnapshot(photos, turn) {
    for (const photo of photos) {
      const known = this.#entries.get(photo.id);
      const isOutdated = known && (known.touched > turn || isOlder(photo, known.photo));
      if (!isOutdated && !this.#tombstones.has(photo.id)) this.#put(photo, { fromFeed: false });
    }
  }

  /** Forget every photo that the feed has not spoken of since `turn` and that is not in `ids`. */
  keepOnly(ids, turn) {
    for (const entry of [...this.#entries.values()]) {
      if (!ids.has(entry.id) && entry.touched <= turn) this.#drop(entry.id);
    }
  }

  /** Forget all but the `most` newest. */
  trim(most) {
    for (const entry of this.newestFirst().slice(most)) this.#drop(entry.id);
  }

  /** The photo is deleted, for good. */
  bury(id) {
    this.#tombstones.set(id, true);
    if (this.#tombstones.size > MOST_TOMBSTONES) this.#tombstones.delete(this.#tombstones.keys().next().value);
    this.#drop(id);
  }

  isBuried(id) {
    return this.#tombstones.has(id);
  }

  #put(photo, { fromFeed, seen }) {
    let entry = this.#entries.get(photo.id);
    if (!entry) {
      entry = { id: photo.id, events: [] };
      this.#entries.set(photo.id, entry);
      this.#isSorted = false;
    }
    if (entry.photo?.created_at !== photo.created_at) this.#isSorted = false;
    Object.assign(entry, { photo, fromFeed, touched: this.#turn });
    if (seen) remember(entry, seen);
    this.#onChange(entry.id);
    return entry;
  }

  #drop(id) {
    if (!this.#entries.delete(id)) return;
    this.#isSorted = false;
    this.#onChange(id);
  }
}

/** Order of entries: by creation, then by id, as the api lists them. Moments are of one form, so they compare as text. */
export function newestFirst({ photo: left }, { photo: right }) {
  if (left.created_at !== right.created_at) return left.created_at < right.created_at ? 1 : -1;
  if (left.id === right.id) return 0;
  return left.id < right.id ? 1 : -1;
}

function isOlder(left, right) {
  return left.updated_at < right.updated_at;
}

function remember(entry, seen) {
  entry.events.push(seen);
  if (entry.events.length > MOST_EVENTS_KEPT) entry.events.shift();
}
