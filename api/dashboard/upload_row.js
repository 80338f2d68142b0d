/** One line of the list of uploads. */

import { isolated, make, setText } from "./elements.js";
import { fileSize, harmless, quoted } from "./wording.js";

export class UploadRow {
  element;
  #bar = make("progress", { max: "1", value: "0" });
  #state = make("span", { class: "upload-state" }, "0 %");
  #actions = make("span", { class: "upload-actions" });

  constructor(file, { onCancel }) {
    const name = harmless(file.name);
    this.#bar.setAttribute("aria-label", `Upload of ${quoted(name)}`);
    const cancel = action("×", onCancel);
    cancel.setAttribute("aria-label", `Cancel the upload of ${quoted(name)}`);
    this.#actions.append(cancel);
    this.element = make("li", { class: "upload" },
      make("span", { class: "upload-name", dir: "auto", title: name }, harmless(file.webkitRelativePath) || name),
      make("span", { class: "upload-size" }, fileSize(file.size)),
      this.#bar, this.#state, this.#actions);
  }

  get hasFocus() {
    return this.element.contains(document.activeElement);
  }

  progress(fraction) {
    this.#bar.value = fraction;
    setText(this.#state, fraction >= 1 ? "storing…" : `${Math.floor(fraction * 100)} %`);
  }

  /** Nothing of it has been taken; it goes out again from its start. */
  wait() {
    this.#bar.value = 0;
    setText(this.#state, "waiting");
  }

  /** It was not taken: say why, and what can be done. */
  refuse(problem, { onDismiss, onAgain }) {
    this.#bar.remove();
    this.element.classList.add("refused");
    const title = problem.status ? `${problem.status} ${problem.title}` : problem.title;
    this.#state.replaceChildren(make("b", {}, title), " ", isolated(problem.detail));
    this.#actions.replaceChildren(...(onAgain ? [action("Try again", onAgain)] : []), action("Dismiss", onDismiss));
  }
}

function action(label, onClick) {
  const button = make("button", { type: "button", class: "plain" }, label);
  button.addEventListener("click", onClick);
  return button;
}
