/** The photos that the page has loaded, each in its latest known state. */

/** Ids of deleted photos are kept, so that a late event does not bring a photo back. */
const MAX_DELETED_IDS = 20_000;

/** @typedef {{id: string, photo: object, fromFeed: boolean, version: number}} Entry */

/**
 * Merges two sources. The feed's messages arrive in order, so the later of two wins. A list is a snapshot: it never
 * overwrites what the feed sent after the list was requested, and no message that is older than it (by `updated_at`)
 * overwrites it.
 */
export class PhotoStore {
  #entries = new Map();
  #deletedIds = new Set();
  #sorted = [];
  #isSorted = true;
  #version = 0;
  #onChange;

  /** `onChange(id)` is called for every photo that is added, changed or removed. */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  get size() {
    return this.#entries.size;
  }

  /** The number of feed messages so far. Read it before requesting a snapshot, and pass it to `applySnapshot`. */
  get version() {
    return this.#version;
  }

  /** @returns {Entry | undefined} */
  get(id) {
    return this.#entries.get(id);
  }

  /** All entries, newest first. @returns {Entry[]} */
  newestFirst() {
    if (!this.#isSorted) {
      this.#sorted = [...this.#entries.values()].sort(newestFirst);
      this.#isSorted = true;
    }
    return this.#sorted;
  }

  /** Apply a `photo` message of the feed. Returns the entry if the message changed its state. */
  applyMessage({ event, photo }) {
    this.#version += 1;
    if (event === "photos.deleted" || event === "thumbnails.deleted") {
      this.markDeleted(photo.id);
      return null;
    }
    if (this.isDeleted(photo.id)) return null;
    const known = this.#entries.get(photo.id);
    if (known && !known.fromFeed && isOlder(photo, known.photo)) return null;
    return this.#put(photo, { fromFeed: true });
  }

  /** Apply photos of a snapshot that was requested at `version`; -1 if the feed always wins. */
  applySnapshot(photos, version) {
    for (const photo of photos) {
      const known = this.#entries.get(photo.id);
      const isOutdated = known && (known.version > version || isOlder(photo, known.photo));
      if (!isOutdated && !this.isDeleted(photo.id)) this.#put(photo, { fromFeed: false });
    }
  }

  /** Remove every photo that is not in `ids` and that the feed has not mentioned since `version`. */
  keepOnly(ids, version) {
    for (const entry of [...this.#entries.values()]) {
      if (!ids.has(entry.id) && entry.version <= version) this.#remove(entry.id);
    }
  }

  /** Remove all for which `isKept(entry)` is false. */
  filter(isKept) {
    for (const entry of [...this.#entries.values()]) if (!isKept(entry)) this.#remove(entry.id);
  }

  /** Remove all but the `max` newest. */
  trim(max) {
    for (const entry of this.newestFirst().slice(max)) this.#remove(entry.id);
  }

  /** Remove a photo that has been deleted on the server. */
  markDeleted(id) {
    this.#deletedIds.add(id);
    if (this.#deletedIds.size > MAX_DELETED_IDS) this.#deletedIds.delete(this.#deletedIds.values().next().value);
    this.#remove(id);
  }

  isDeleted(id) {
    return this.#deletedIds.has(id);
  }

  #put(photo, { fromFeed }) {
    let entry = this.#entries.get(photo.id);
    if (!entry) {
      entry = { id: photo.id };
      this.#entries.set(photo.id, entry);
      this.#isSorted = false;
    }
    if (entry.photo?.created_at !== photo.created_at) this.#isSorted = false;
    Object.assign(entry, { photo, fromFeed, version: this.#version });
    this.#onChange(entry.id);
    return entry;
  }

  #remove(id) {
    if (!this.#entries.delete(id)) return;
    this.#isSorted = false;
    this.#onChange(id);
  }
}

/** Compares entries as the API sorts them: by creation, then by id. All timestamps have one format, so text order works. */
export function newestFirst({ photo: left }, { photo: right }) {
  if (left.created_at !== right.created_at) return left.created_at < right.created_at ? 1 : -1;
  if (left.id === right.id) return 0;
  return left.id < right.id ? 1 : -1;
}

function isOlder(left, right) {
  return left.updated_at < right.updated_at;
}
