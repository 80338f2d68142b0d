/** A grid of thousands of photos; only the cards near the viewport are in the document. */

import { Card } from "./card.js";
import { newestFirst } from "./photo_store.js";

const GAP_PX = 14;
/** Height of name, status and facts below a card's image, as in photo_grid.css. */
const CARD_FOOTER_PX = 68;
/** Rows drawn above and below the viewport, so that scrolling does not show empty space. */
const OVERSCAN_ROWS = 1;
/** Scrolling has ended when there was none for this long. */
const SCROLL_END_MS = 150;
/** Thumbnails are not asked for while more than this part of the window goes by in a frame. */
const FAST = 1 / 15;
/** So many blurred previews are drawn in a frame. */
const PREVIEWS_A_FRAME = 6;

export class VirtualGrid {
  #root;
  #entries = [];
  /** Index of each entry by its id. */
  #indexes = new Map();
  #cards = new Map();
  /** Id of the photo that Tab leads to (roving tabindex). */
  #current = null;
  #isComplete = false;
  #columns = 1;
  #cardWidth = 0;
  #frame = 0;
  #scrollEnd = 0;
  /** Where the grid was in the window when it was drawn last. */
  #top = 0;
  #isFast = false;
  #onOpen;
  #onEnd;
  /** Ids of the selected photos; null: none can be selected now. */
  #selected = null;

  /** `onOpen(id, event)` is called when a card is clicked, `onEnd()` when the last rows come into view. */
  constructor(root, { onOpen, onEnd }) {
    this.#root = root;
    this.#onOpen = onOpen;
    this.#onEnd = onEnd;
    new ResizeObserver(() => this.#measure()).observe(root);
    window.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    window.addEventListener("resize", () => this.draw(), { passive: true });
    root.addEventListener("keydown", (event) => this.#onKey(event));
    root.addEventListener("click", (event) => this.#onClick(event));
    root.addEventListener("focus", () => this.#focus(0));
    root.addEventListener("focusin", ({ target }) => this.#makeCurrent(target.closest?.(".card")?.dataset.id));
    this.#measure();
  }

  /** Show these entries in this order; `isComplete`: there are no older ones. */
  show(entries, isComplete) {
    this.#entries = entries;
    this.#isComplete = isComplete;
    this.#indexes = new Map(entries.map((entry, at) => [entry.id, at]));
    this.draw();
  }

  /** Draw in the next frame. */
  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#drawNow();
    });
  }

  /** Update the ages on the cards. */
  tick() {
    for (const card of this.#cards.values()) card.tick();
  }

  /**
   * The entry `step` positions after `entry`, if there is one. An entry that is no longer in the grid (deleted, or its
   * status no longer matches the filter) counts as being at the position that it had.
   */
  neighbour(entry, step) {
    const at = this.#indexes.get(entry.id);
    if (at !== undefined) return this.#entries[at + step];
    return this.#entries[this.#formerIndexOf(entry) + step - (step > 0 ? 1 : 0)];
  }

  /** Focus the card of this entry or, if it is no longer in the grid, the card at its position; in an empty grid, the grid. */
  focusOn(entry) {
    const at = this.#indexes.get(entry.id) ?? this.#formerIndexOf(entry);
    if (this.#entries.length) this.#focus(Math.min(at, this.#entries.length - 1));
    else this.#root.focus();
  }

  focusFirst() {
    this.#focus(0);
  }

  #formerIndexOf(entry) {
    const at = this.#entries.findIndex((other) => newestFirst(other, entry) > 0);
    return at < 0 ? this.#entries.length : at;
  }

  /** Id of the photo whose card has the focus, or null. */
  get focusedId() {
    return this.#hasFocus() ? (document.activeElement.closest(".card")?.dataset.id ?? null) : null;
  }

  /** The ids of the photos from the one to the other, both included, in either direction. */
  idsBetween(one, other) {
    const ends = [this.#indexes.get(one), this.#indexes.get(other)];
    if (ends.includes(undefined)) return [other];
    return this.#entries.slice(Math.min(...ends), Math.max(...ends) + 1).map(({ id }) => id);
  }

  /** Mark the photos with these ids as selected; null: none can be selected now. */
  showSelected(ids) {
    this.#selected = ids && new Set(ids);
    this.#root.classList.toggle("is-selecting", ids !== null);
    for (const [id, card] of this.#cards) card.setPressed(this.#selected && this.#selected.has(id));
  }

  /** Whether the top of the grid is scrolled out of view. */
  get isScrolledAway() {
    return this.#root.getBoundingClientRect().top < -this.#cardWidth / 2;
  }

  scrollToTop() {
    this.#root.parentElement.scrollIntoView({ block: "start" });
  }

  #measure() {
    const width = this.#root.clientWidth;
    if (!width) return;
    const narrowest = width < 560 ? 138 : 172;
    this.#columns = Math.max(2, Math.floor((width + GAP_PX) / (narrowest + GAP_PX)));
    this.#cardWidth = Math.floor((width - GAP_PX * (this.#columns - 1)) / this.#columns);
    this.draw();
  }

  get #rowHeight() {
    return this.#cardWidth + CARD_FOOTER_PX + GAP_PX;
  }

  /** Draw at once what comes into view; what can wait is done when scrolling has ended. */
  #onScroll() {
    clearTimeout(this.#scrollEnd);
    this.#scrollEnd = setTimeout(() => {
      this.#scrollEnd = 0;
      this.draw();
    }, SCROLL_END_MS);
    this.draw();
  }

  get #isScrolling() {
    return this.#scrollEnd !== 0;
  }

  #onClick(event) {
    const card = event.target.closest(".card");
    if (card) this.#onOpen(card.dataset.id, event);
  }

  #drawNow() {
    if (!this.#cardWidth) return;
    const rows = Math.ceil(this.#entries.length / this.#columns);
    const { top } = this.#root.getBoundingClientRect();
    this.#isFast = this.#isScrolling && Math.abs(top - this.#top) > window.innerHeight * FAST;
    this.#top = top;
    this.#root.style.height = `${rows * this.#rowHeight}px`;
    const firstRow = Math.floor(-top / this.#rowHeight) - OVERSCAN_ROWS;
    // Always as many rows: for each that leaves at one end, another one comes at the other and takes its cards.
    const lastRow = firstRow + Math.ceil(window.innerHeight / this.#rowHeight) + 1 + 2 * OVERSCAN_ROWS;
    const first = Math.max(0, firstRow * this.#columns);
    const last = Math.min(this.#entries.length, Math.max(0, lastRow) * this.#columns);
    const cardsAboveView = top < -OVERSCAN_ROWS * this.#rowHeight ? OVERSCAN_ROWS * this.#columns : 0;
    this.#drawCards(first, last, Math.min(first + cardsAboveView, last - 1));
    if (!this.#isComplete && lastRow >= rows) this.#onEnd();
  }

  /** Draw the cards from `first` up to `last`; `visible`: one in the viewport. */
  #drawCards(first, last, visible) {
    const { free, focused } = this.#freeCards(first, last);
    const held = this.#indexes.get(this.#current);
    const isOutside = held === undefined || held < first || held >= last;
    // Keep the card that has the focus, so that the keyboard position is not lost; otherwise let Tab lead to a visible card.
    const extra = isOutside && held !== undefined && this.#hasFocus() ? [held] : [];
    if (isOutside && !extra.length) this.#makeCurrent(this.#entries[visible]?.id);
    const drawn = [...extra.filter((one) => one < first), ...range(first, last), ...extra.filter((one) => one >= last)].map((at) => this.#drawCard(at, free));
    for (const card of free) card.element.remove();
    if (!this.#isScrolling) {
      this.#sort(drawn);
      this.#drawPreviews();
    }
    if (focused !== null && this.#entries.length) this.#focus(Math.min(focused, this.#entries.length - 1));
  }

  /** Put the elements into the order of the photos. While scrolling they are not: to move one costs as much as to make it. */
  #sort(cards) {
    // The card with the focus would lose it by a move, so the others are moved around it.
    const fixed = cards.findIndex(({ element }) => element.contains(document.activeElement));
    let next = null;
    for (const [at, { element }] of [...cards.entries()].reverse()) {
      if (element.nextElementSibling !== next && at !== fixed) this.#root.insertBefore(element, next);
      next = element;
    }
  }

  /** Draw the blurred previews that are not drawn yet, some in each frame. */
  #drawPreviews() {
    let left = PREVIEWS_A_FRAME;
    for (const card of this.#cards.values()) {
      if (card.drawPreview()) left -= 1;
      if (!left) return requestAnimationFrame(() => this.#isScrolling || this.#drawPreviews());
    }
    return undefined;
  }

  #drawCard(at, free) {
    const entry = this.#entries[at];
    let card = this.#cards.get(entry.id);
    if (!card) {
      card = free.shift() ?? new Card();
      card.assign(entry.id, { fades: !this.#isScrolling });
      this.#cards.set(entry.id, card);
      if (!card.element.isConnected) this.#root.append(card.element);
    }
    card.place({
      x: (at % this.#columns) * (this.#cardWidth + GAP_PX),
      y: Math.floor(at / this.#columns) * this.#rowHeight,
      width: this.#cardWidth,
      height: this.#cardWidth + CARD_FOOTER_PX,
    });
    card.show(entry.photo, { isPassing: this.#isFast });
    card.setPressed(this.#selected && this.#selected.has(entry.id));
    card.setPosition(at + 1, this.#isComplete ? this.#entries.length : -1);
    const tabIndex = entry.id === this.#current ? 0 : -1;
    if (card.button.tabIndex !== tabIndex) card.button.tabIndex = tabIndex;
    card.at = at;
    return card;
  }

  /** The cards outside of the range, and the index of the one among them that had the focus, or null. */
  #freeCards(first, last) {
    const free = [];
    let focused = null;
    const active = this.#hasFocus() ? document.activeElement : null;
    for (const [id, card] of this.#cards) {
      const at = this.#indexes.get(id);
      const isHeld = active !== null && card.element.contains(active);
      if (at !== undefined && (isHeld || (at >= first && at < last))) continue;
      if (isHeld) {
        focused = card.at;
        card.element.remove();
      } else free.push(card);
      this.#cards.delete(id);
    }
    return { free, focused };
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
    // With the elements in order, also if this interrupts scrolling.
    clearTimeout(this.#scrollEnd);
    this.#scrollEnd = 0;
    this.#drawNow();
    this.#cards.get(entry.id)?.button.focus({ preventScroll: true });
  }

  #onKey(event) {
    const at = this.#indexes.get(this.#current);
    if (at === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns }[event.key];
    const target = { Home: 0, End: this.#entries.length - 1 }[event.key] ?? (step && at + step);
    if (target === undefined) return;
    event.preventDefault();
    if (target >= 0 && target < this.#entries.length) this.#focus(target);
  }
}

function range(first, last) {
  return Array.from({ length: Math.max(0, last - first) }, (_, at) => first + at);
}
