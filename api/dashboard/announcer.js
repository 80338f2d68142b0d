/** What changed, for people who listen: told in sums, so that a burst of photos is one sentence. */

import { photos, quoted } from "./wording.js";

const EVERY_MS = 2500;

export class Announcer {
  #region;
  #counts = new Map();
  #sentences = [];
  #timer = 0;

  constructor(region) {
    this.#region = region;
  }

  /** A photo called `name` has become `status`. */
  became(status, name) {
    const { number = 0 } = this.#counts.get(status) ?? {};
    this.#counts.set(status, { number: number + 1, name });
    this.#soon();
  }

  say(sentence) {
    this.#sentences.push(sentence);
    this.#soon();
  }

  #soon() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      const sums = [...this.#counts].map(([status, { number, name }]) => `${number === 1 ? quoted(name) : photos(number)} ${status}`);
      this.#region.textContent = [...this.#sentences.slice(0, 3), ...sums].join(". ");
      this.#counts.clear();
      this.#sentences = [];
    }, EVERY_MS);
  }
}
