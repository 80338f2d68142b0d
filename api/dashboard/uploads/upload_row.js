/** One row in the list of uploads. */

import { button, isolated, make, setText } from "../page/elements.js";
import { fileSize, isolatedName, visible } from "../page/format.js";

export class UploadRow {
  element;
  #bar;
  #state = make("span", { class: "upload-state" }, "0 %");
  #actions = make("span", { class: "upload-actions" });

  constructor(file, { onCancel }) {
    const name = visible(file.name);
    this.#bar = make("progress", { max: "1", value: "0", "aria-label": `Upload of ${isolatedName(name)}` });
    this.#actions.append(button("×", "plain", onCancel, { "aria-label": `Cancel the upload of ${isolatedName(name)}` }));
    this.element = make("li", { class: "upload" },
      make("span", { class: "upload-name", dir: "auto", title: name }, visible(file.webkitRelativePath) || name),
      make("span", { class: "upload-size" }, fileSize(file.size)),
      this.#bar, this.#state, this.#actions);
  }

  get hasFocus() {
    return this.element.contains(document.activeElement);
  }

  setProgress(fraction) {
    this.#bar.value = fraction;
    setText(this.#state, fraction >= 1 ? "storing…" : `${Math.floor(fraction * 100)} %`);
  }

  /** The upload failed and will start again from the beginning. */
  setWaiting() {
    this.#bar.value = 0;
    setText(this.#state, "waiting");
  }

  /** The upload was refused: show why, with the buttons "Dismiss" and, with an `onRetry`, "Try again". */
  setRefused(problem, { onDismiss, onRetry }) {
    this.#bar.remove();
    this.element.classList.add("refused");
    const title = problem.status ? `${problem.status} ${problem.title}` : problem.title;
    this.#state.replaceChildren(make("b", {}, title), " ", isolated(problem.detail));
    this.#actions.replaceChildren(...(onRetry ? [button("Try again", "plain", onRetry)] : []), button("Dismiss", "plain", onDismiss));
  }
}
