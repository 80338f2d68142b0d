/** The field for the words that the photos of the list should have. */

import { byId } from "./elements.js";

/** A search starts when nothing was typed for this long. */
const SEARCH_AFTER_MS = 250;

export class SearchBox {
  #input = byId("q");
  #timer = 0;
  #onSearch;

  /** `onSearch(words)` is called some time after they were typed. */
  constructor(onSearch) {
    this.#onSearch = onSearch;
    this.#input.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#search(), SEARCH_AFTER_MS);
    });
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search();
    });
  }

  /** Show these words, unless somebody types others. */
  show(words) {
    if (document.activeElement !== this.#input) this.#input.value = words;
  }

  focus() {
    this.#input.focus();
  }

  #search() {
    clearTimeout(this.#timer);
    this.#onSearch(this.#input.value.trim());
  }
}
