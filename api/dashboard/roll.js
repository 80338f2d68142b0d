/** What stands on the sheet: the album through the filter, with newcomers let in calmly. */

import { newestFirst } from "./album.js";
import { count, photos } from "./wording.js";

/** Newcomers move every photo on the sheet: at most once in this time, however fast they come. */
const CALM_MS = 900;
/** Photos kept when nobody has scrolled down to them; some slack, so that the cut is rare. */
const MOST_KEPT = 3000;
const SLACK = 1000;

export class Roll {
  #album;
  #pager;
  #sheet;
  #parts;
  #shown = [];
  #shownIds = new Set();
  #letInAt = 0;
  #frame = 0;
  #timer = 0;
  #problem = null;
  #isLoaded = false;

  /** `parts`: `newer` (the button that lets newcomers in), `note` and `again` under the sheet, `empty`. */
  constructor({ album, pager, sheet, parts }) {
    this.#album = album;
    this.#pager = pager;
    this.#sheet = sheet;
    this.#parts = parts;
    parts.newer.addEventListener("click", () => this.#letIn());
    parts.again.addEventListener("click", () => (this.#isLoaded ? this.more() : this.reload()));
    window.addEventListener("scroll", () => !parts.newer.hidden && this.draw(), { passive: true });
  }

  /** Whether a first page has come. */
  get isLoaded() {
    return this.#isLoaded;
  }

  /** Set the filter before anything is loaded. */
  start(status) {
    this.#pager.status = status;
  }

  /** Show photos of `status` (empty: all). */
  begin(status) {
    this.#shown = [];
    this.#shownIds = new Set();
    this.#settle(this.#pager.begin(status));
  }

  /** Load anew what is shown, after events may have been missed. */
  reload() {
    this.#settle(this.#pager.reload());
  }

  /** Load what could not be loaded, if something could not. */
  tryAgain() {
    if (this.#problem) this.more();
  }

  /** Load older photos, unless that failed a moment ago and nobody asked again. */
  more() {
    if (this.#pager.isComplete || this.#pager.isLoading || !this.#isLoaded) return;
    this.#settle(this.#pager.more());
  }

  /** Draw before the next frame. */
  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#drawNow();
    });
  }

  /** Forget the oldest photos when there are very many and nobody looks at them. */
  trim() {
    if (this.#album.size <= MOST_KEPT + SLACK || this.#sheet.isScrolledAway) return;
    this.#album.trim(MOST_KEPT);
    this.#pager.cutAfter(this.#album.newestFirst().at(-1));
  }

  async #settle(loading) {
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
    const entries = this.#album.newestFirst().filter((entry) => this.#pager.shows(entry));
    const newcomers = this.#newcomersOf(entries);
    const isAway = this.#sheet.isScrolledAway;
    const wait = this.#letInAt + CALM_MS - performance.now();
    const isHeld = newcomers > 0 && (isAway || wait > 0);
    if (newcomers && !isHeld) this.#letInAt = performance.now();
    this.#shown = isHeld ? entries.slice(newcomers) : entries;
    this.#shownIds = new Set(this.#shown.map(({ id }) => id));
    if (isHeld && !isAway) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.draw(), wait);
    }
    this.#parts.newer.hidden = !(isHeld && isAway);
    if (isHeld && isAway) this.#parts.newer.textContent = `↑ ${count(newcomers)} new`;
    this.#sheet.show(this.#shown, this.#pager.isComplete || this.#problem !== null);
    this.#drawNotes(entries.length);
  }

  /** How many entries at the head came after what is shown. */
  #newcomersOf(entries) {
    if (!this.#shown.length) return 0;
    let number = 0;
    for (const entry of entries) {
      if (this.#shownIds.has(entry.id) || newestFirst(entry, this.#shown[0]) > 0) break;
      number += 1;
    }
    return number;
  }

  #letIn() {
    this.#shown = [];
    this.#parts.newer.hidden = true;
    this.#sheet.scrollToHead();
    this.draw();
  }

  #drawNotes(number) {
    const { status, isComplete } = this.#pager;
    this.#parts.empty.hidden = !(isComplete && !number && !status && !this.#problem);
    this.#parts.again.hidden = !this.#problem;
    this.#parts.note.textContent = this.#problem
      ? this.#problem.message
      : noteOf({ number, status, isComplete, isLoaded: this.#isLoaded });
  }
}

function noteOf({ number, status, isComplete, isLoaded }) {
  if (!isComplete) return number && isLoaded ? "" : "Loading…";
  if (!number) return status ? `No photo is ${status}.` : "";
  return number > 24 ? `The end: ${photos(number)}` : "";
}
