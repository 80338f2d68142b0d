/** A message at the top of the page that stays until it is dismissed. */

import { setText } from "./elements.js";

export class PageNotice {
  #root;
  #text;
  #retryButton;
  #onRetry = null;

  /** `root` holds a span and two buttons: "Try again" and "Dismiss". */
  constructor(root) {
    this.#root = root;
    this.#text = root.querySelector("span");
    const [retryButton, dismissButton] = root.querySelectorAll("button");
    this.#retryButton = retryButton;
    retryButton.addEventListener("click", () => {
      this.hide();
      this.#onRetry();
    });
    dismissButton.addEventListener("click", () => this.hide());
  }

  /** Show `text`, with a "Try again" button if there is an `onRetry`. */
  show(text, { onRetry = null } = {}) {
    this.#onRetry = onRetry;
    this.#retryButton.hidden = !onRetry;
    this.#root.hidden = false;
    setText(this.#text, text);
  }

  hide() {
    this.#root.hidden = true;
    setText(this.#text, "");
  }
}
