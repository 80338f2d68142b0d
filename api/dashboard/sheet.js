/** The contact sheet: a grid of thousands of photos, of which only those in view are in the document. */

import { newestFirst } from "./album.js";
import { Card } from "./card.js";

const GAP = 14;
/** What stands below a card's window: name, badge, facts. In px, as in sheet.css. */
const REBATE = 68;
/** Rows kept above and below the view, so that scrolling finds its cards there. */
const OVERSCAN_ROWS = 3;

export class Sheet {
  #root;
  #entries = [];
  #places = new Map();
  #cards = new Map();
  #current = null;
  #isComplete = false;
  #columns = 1;
  #width = 0;
  #edge = 0;
  #frame = 0;
  #onOpen;
  #onEnd;

  /** `onOpen(id)` when a card is chosen, `onEnd()` when the last rows come into view. */
  constructor(root, { onOpen, onEnd }) {
    this.#root = root;
    this.#onOpen = onOpen;
    this.#onEnd = onEnd;
    new ResizeObserver(() => this.#measure()).observe(root);
    window.addEventListener("scroll", () => this.draw(), { passive: true });
    window.addEventListener("resize", () => this.draw(), { passive: true });
    root.addEventListener("keydown", (event) => this.#onKey(event));
    root.addEventListener("focus", () => this.#focus(0));
    root.addEventListener("focusin", ({ target }) => this.#makeCurrent(target.closest?.(".card")?.dataset.id));
    this.#measure();
  }

  /** The entries in their order; `isComplete` when none is older. */
  show(entries, isComplete) {
    this.#entries = entries;
    this.#isComplete = isComplete;
    this.#places = new Map(entries.map((entry, at) => [entry.id, at]));
    this.draw();
  }

  /** Draw before the next frame, once, however often it is asked for. */
  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#drawNow();
    });
  }

  /** Bring the ages in view up to date. */
  tick() {
    for (const card of this.#cards.values()) card.tick();
  }

  /**
   * The entry `step` places after `entry`, if there is one. An entry that has left the sheet (deleted, or of another
   * status than the filter's) is taken to stand where it stood: between those that are newer and those that are older.
   */
  neighbour(entry, step) {
    const at = this.#places.get(entry.id);
    if (at !== undefined) return this.#entries[at + step];
    return this.#entries[this.#placeLeftBy(entry) + step - (step > 0 ? 1 : 0)];
  }

  /** Focus the card of this entry or, where it has left, the one that has taken its place; else the sheet itself. */
  focusOn(entry) {
    const at = this.#places.get(entry.id) ?? this.#placeLeftBy(entry);
    if (this.#entries.length) this.#focus(Math.min(at, this.#entries.length - 1));
    else this.#root.focus();
  }

  #placeLeftBy(entry) {
    const at = this.#entries.findIndex((other) => newestFirst(other, entry) > 0);
    return at < 0 ? this.#entries.length : at;
  }

  /** Whether the head of the sheet has been scrolled out of view. */
  get isScrolledAway() {
    return this.#root.getBoundingClientRect().top < -this.#edge / 2;
  }

  scrollToHead() {
    this.#root.parentElement.scrollIntoView({ block: "start" });
  }

  #measure() {
    const width = this.#root.clientWidth;
    if (!width) return;
    const narrowest = width < 560 ? 138 : 172;
    this.#columns = Math.max(2, Math.floor((width + GAP) / (narrowest + GAP)));
    this.#width = Math.floor((width - GAP * (this.#columns - 1)) / this.#columns);
    this.#edge = this.#width;
    this.draw();
  }

  get #rowHeight() {
    return this.#edge + REBATE + GAP;
  }

  #drawNow() {
    if (!this.#width) return;
    const rows = Math.ceil(this.#entries.length / this.#columns);
    this.#root.style.height = `${rows * this.#rowHeight}px`;
    const top = this.#root.getBoundingClientRect().top;
    const firstRow = Math.floor(-top / this.#rowHeight) - OVERSCAN_ROWS;
    const lastRow = Math.ceil((window.innerHeight - top) / this.#rowHeight) + OVERSCAN_ROWS;
    const first = Math.max(0, firstRow * this.#columns);
    const last = Math.min(this.#entries.length, Math.max(0, lastRow) * this.#columns);
    this.#drawCards(first, last);
    if (!this.#isComplete && lastRow >= rows) this.#onEnd();
  }

  #drawCards(first, last) {
    const lost = this.#dropCards(first, last);
    const held = this.#places.get(this.#current);
    const isOutside = held === undefined || held < first || held >= last;
    // The card that holds the focus stays, or the keyboard would lose its place; else Tab leads to what is in view.
    const extra = isOutside && held !== undefined && this.#hasFocus() ? [held] : [];
    if (isOutside && !extra.length) this.#makeCurrent(this.#entries[Math.min(first + this.#hiddenAbove(), last - 1)]?.id);
    let place = this.#root.firstElementChild;
    for (const at of [...extra.filter((one) => one < first), ...span(first, last), ...extra.filter((one) => one >= last)]) {
      const card = this.#drawCard(at);
      // Cards keep their order among themselves, so only new ones move: moving one would take its focus.
      if (card.element === place) place = place.nextElementSibling;
      else this.#root.insertBefore(card.element, place);
    }
    if (lost !== null && this.#entries.length) this.#focus(Math.min(lost, this.#entries.length - 1));
  }

  /** How many cards are drawn above the view. */
  #hiddenAbove() {
    return this.#root.getBoundingClientRect().top < -OVERSCAN_ROWS * this.#rowHeight ? OVERSCAN_ROWS * this.#columns : 0;
  }

  #drawCard(at) {
    const entry = this.#entries[at];
    let card = this.#cards.get(entry.id);
    if (!card) {
      card = new Card(entry.id, this.#onOpen);
      this.#cards.set(entry.id, card);
    }
    card.place({
      x: (at % this.#columns) * (this.#width + GAP),
      y: Math.floor(at / this.#columns) * this.#rowHeight,
      width: this.#width,
      edge: this.#edge,
    });
    card.show(entry.photo);
    card.number(at + 1, this.#isComplete ? this.#entries.length : -1);
    card.button.tabIndex = entry.id === this.#current ? 0 : -1;
    card.at = at;
    return card;
  }

  /** Take out cards that are not in view or whose order has changed. Returns the place of one that had the focus. */
  #dropCards(first, last) {
    let lost = null;
    for (const [id, card] of this.#cards) {
      const at = this.#places.get(id);
      const isHeld = at !== undefined && card.element.contains(document.activeElement);
      if (at !== undefined && (isHeld || (at >= first && at < last))) continue;
      if (card.element.contains(document.activeElement)) lost = card.at;
      card.element.remove();
      this.#cards.delete(id);
    }
    return lost;
  }

  #hasFocus() {
    return this.#root.contains(document.activeElement);
  }

  #makeCurrent(id) {
    if (!id) return;
    const before = this.#cards.get(this.#current);
    if (before) before.button.tabIndex = -1;
    this.#current = id;
    const now = this.#cards.get(id);
    if (now) now.button.tabIndex = 0;
  }

  #focus(at) {
    const entry = this.#entries[at];
    if (!entry) return;
    this.#makeCurrent(entry.id);
    const y = Math.floor(at / this.#columns) * this.#rowHeight + this.#root.getBoundingClientRect().top;
    const isInView = y >= 0 && y + this.#rowHeight <= window.innerHeight;
    if (!isInView) window.scrollBy({ top: y - (window.innerHeight - this.#rowHeight) / 2, behavior: "instant" });
    this.#drawNow();
    this.#cards.get(entry.id)?.button.focus({ preventScroll: true });
  }

  #onKey(event) {
    const at = this.#places.get(this.#current);
    if (at === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns }[event.key];
    const goal = { Home: 0, End: this.#entries.length - 1 }[event.key] ?? (step && at + step);
    if (goal === undefined) return;
    event.preventDefault();
    if (goal >= 0 && goal < this.#entries.length) this.#focus(goal);
  }
}

function span(first, last) {
  return Array.from({ length: Math.max(0, last - first) }, (_, at) => first + at);
}
