/** Announces changes to screen readers: counts rather than one sentence per photo. */

import { isolatedName, photos } from "./format.js";

const INTERVAL_MS = 2500;

export class Announcer {
  #region;
  #changes = new Map();
  #sentences = [];
  #timer = 0;

  constructor(region) {
    this.#region = region;
  }

  /** The photo `name` is now `status`. */
  addChange(status, name) {
    const { number = 0 } = this.#changes.get(status) ?? {};
    this.#changes.set(status, { number: number + 1, name });
    this.#schedule();
  }

  say(sentence) {
    this.#sentences.push(sentence);
    this.#schedule();
  }

  #schedule() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      const changes = [...this.#changes].map(([status, { number, name }]) => `${number === 1 ? isolatedName(name) : photos(number)} ${status}`);
      this.#region.textContent = [...this.#sentences.slice(0, 3), ...changes].join(". ");
      this.#changes.clear();
      this.#sentences = [];
    }, INTERVAL_MS);
  }
}
