/** One sentence at the head of the page that stays until it is dismissed. */

import { setText } from "./elements.js";

export class PageNotice {
  #root;
  #sentence;
  #again;
  #onAgain = null;

  /** `root` holds a span and two buttons: to try again, and to dismiss. */
  constructor(root) {
    this.#root = root;
    this.#sentence = root.querySelector("span");
    const [again, dismiss] = root.querySelectorAll("button");
    this.#again = again;
    again.addEventListener("click", () => {
      this.hide();
      this.#onAgain();
    });
    dismiss.addEventListener("click", () => this.hide());
  }

  /** Say it; with `onAgain` it may be tried again. */
  show(sentence, { onAgain = null } = {}) {
    this.#onAgain = onAgain;
    this.#again.hidden = !onAgain;
    this.#root.hidden = false;
    setText(this.#sentence, sentence);
  }

  hide() {
    this.#root.hidden = true;
    setText(this.#sentence, "");
  }
}
