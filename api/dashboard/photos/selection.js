/** Many photos at once: which are selected, and what can be done with them. */

import { byId, make, setText } from "../page/elements.js";
import { photos } from "../page/format.js";
import { failureOf } from "./failures.js";

/** A deletion can be undone for so long: the request is sent afterwards. */
const UNDO_MS = 10_000;
/** So many ids fit one bulk request, and the address of an archive. */
const MAX_BULK = 500;
/** So many photos can still be deleted while the page is left: such requests have 64 KiB in all. Source: Fetch, "keepalive". */
const MAX_AT_LEAVE = 1500;
const MAX_ARCHIVE = 150;

export class Selection {
  #store;
  #client;
  #grid;
  #onChange;
  #onProblem;
  #say;
  #ids = new Set();
  #isOn = false;
  #mayChange = false;
  /** Where a range starts. */
  #anchor = null;
  /** What is deleted unless that is undone. */
  #deleting = new Set();
  #timer = 0;
  /** What the server has been asked to delete. */
  #sent = new Set();
  #bar = byId("selection");

  /**
   * `onChange()` is called when other photos are hidden, `onProblem(text)` when a request has failed,
   * `say(sentence)` with what screen readers should read.
   */
  constructor({ store, client, grid, onChange, onProblem, say }) {
    this.#store = store;
    this.#client = client;
    this.#grid = grid;
    this.#onChange = onChange;
    this.#onProblem = onProblem;
    this.#say = say;
    byId("select").addEventListener("click", () => (this.#isOn ? this.end() : this.#start()));
    byId("selection-retry").addEventListener("click", () => this.#retry());
    byId("selection-download").addEventListener("click", () => this.#download());
    byId("selection-delete").addEventListener("click", () => this.#delete());
    byId("selection-undo").addEventListener("click", () => this.#undo());
    byId("selection-end").addEventListener("click", () => this.end());
    window.addEventListener("beforeunload", (event) => this.#wouldBeLost && event.preventDefault());
    window.addEventListener("pagehide", () => this.#sendDeletion({ keepalive: true }));
  }

  /** Whether a click on a photo selects it. */
  get isOn() {
    return this.#isOn;
  }

  /** Whether some of what is deleted would stay if the page was left now. */
  get #wouldBeLost() {
    return this.#deleting.size > MAX_AT_LEAVE || this.#sent.size > 0;
  }

  /** Whether the caller may delete photos and render them again. */
  setMayChange(mayChange) {
    this.#mayChange = mayChange;
    this.#draw();
  }

  /** Whether this photo is not shown, because it is about to be deleted. */
  hides(id) {
    return this.#deleting.has(id) || this.#sent.has(id);
  }

  /** Select this photo, or no longer; with `isRange` all from the one before up to it. */
  toggle(id, { isRange = false } = {}) {
    this.#start();
    if (isRange && this.#anchor) for (const one of this.#grid.idsBetween(this.#anchor, id)) this.#ids.add(one);
    else if (!this.#ids.delete(id)) this.#ids.add(id);
    this.#anchor = id;
    this.#draw();
    this.#say(`${photos(this.#ids.size)} selected`);
  }

  /** Select nothing, and open photos by a click again. */
  end() {
    if (!this.#isOn) return;
    const isInside = this.#bar.contains(document.activeElement);
    this.#isOn = false;
    this.#ids.clear();
    this.#anchor = null;
    this.#draw();
    if (isInside) byId("select").focus();
    this.#say("Nothing is selected");
  }

  /** Forget photos that are gone; show what can be done with the others. */
  refresh() {
    if (!this.#isOn) return;
    for (const id of this.#ids) if (this.#store.isDeleted(id)) this.#ids.delete(id);
    this.#draw();
  }

  #start() {
    if (this.#isOn) return;
    this.#isOn = true;
    this.#draw();
  }

  #draw() {
    const number = this.#ids.size;
    const isDeleting = this.#deleting.size > 0;
    byId("select").setAttribute("aria-pressed", String(this.#isOn));
    this.#bar.hidden = !this.#isOn && !isDeleting;
    const limit = number > MAX_ARCHIVE ? ` At most ${MAX_ARCHIVE} can be downloaded at once.` : "";
    setText(byId("selection-note"), this.#isOn ? `${photos(number)} selected.${limit}` : "");
    byId("selection-retry").hidden = !this.#isOn || !this.#mayChange || !this.#retryable().length;
    byId("selection-download").hidden = !this.#isOn || !number || Boolean(limit);
    byId("selection-delete").hidden = !this.#isOn || !this.#mayChange || !number;
    byId("selection-end").hidden = !this.#isOn;
    byId("selection-deleting").hidden = byId("selection-undo").hidden = !isDeleting;
    setText(byId("selection-deleting"), isDeleting ? `${photos(this.#deleting.size)} will be deleted.` : "");
    this.#grid.showSelected(this.#isOn ? this.#ids : null);
  }

  /** Those of the selected that have failed in a way that another attempt may fix. */
  #retryable() {
    return [...this.#ids].filter((id) => {
      const photo = this.#store.get(id)?.photo;
      return photo?.thumbnail_status === "failed" && failureOf(photo).canRetry;
    });
  }

  async #retry() {
    const ids = this.#retryable();
    this.end();
    let sent = 0;
    try {
      for (const id of ids) {
        await this.#client.retry(id);
        sent += 1;
      }
      this.#say(`${photos(sent)} will be tried again`);
    } catch (problem) {
      this.#onProblem(`${photos(sent)} of ${ids.length} will be tried again: ${problem.message}`);
    }
  }

  #download() {
    const link = make("a", { href: this.#client.archiveUrl([...this.#ids]), download: "photos.zip" });
    link.click();
    this.end();
  }

  /** Hide the selected photos, and delete them when it is too late for "Undo". */
  #delete() {
    this.#sendDeletion();
    this.#deleting = new Set(this.#ids);
    this.#timer = setTimeout(() => this.#sendDeletion(), UNDO_MS);
    this.end();
    byId("selection-undo").focus();
    this.#say(`${photos(this.#deleting.size)} will be deleted in ${UNDO_MS / 1000} seconds`);
    this.#onChange();
  }

  #undo() {
    const ids = this.#takeDeletion();
    this.#onChange();
    this.#say(`${photos(ids.size)} not deleted`);
  }

  /** From now on nothing can be undone. Returns what could be. */
  #takeDeletion() {
    const ids = this.#deleting;
    const hadFocus = document.activeElement === byId("selection-undo");
    clearTimeout(this.#timer);
    this.#deleting = new Set();
    this.#draw();
    if (hadFocus) byId("select").focus();
    return ids;
  }

  async #sendDeletion({ keepalive = false } = {}) {
    const ids = [...this.#takeDeletion()];
    const requests = Array.from({ length: Math.ceil(ids.length / MAX_BULK) }, (_, at) => ids.slice(at * MAX_BULK, (at + 1) * MAX_BULK));
    for (const id of ids) this.#sent.add(id);
    // One after the other, since several would wait for each other in the database until it refuses some.
    if (keepalive) requests.forEach((some) => this.#send(some, { keepalive }));
    else for (const some of requests) await this.#send(some);
  }

  async #send(ids, options) {
    try {
      await this.#client.removeMany(ids, options);
      for (const id of ids) this.#store.markDeleted(id);
    } catch (problem) {
      this.#onProblem(`${photos(ids.length)} could not be deleted: ${problem.message}`);
    }
    for (const id of ids) this.#sent.delete(id);
    this.#onChange();
  }
}
