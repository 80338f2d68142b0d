/** The queue of uploads: four at once; a refused file stays listed with its reason until it is dismissed. */

import { make, setText } from "./elements.js";
import { fileSize, photos } from "./wording.js";

const AT_ONCE = 4;

export class Uploads {
  #panel;
  #list;
  #title;
  #cancelButton;
  #dismissButton;
  #client;
  #onUploaded;
  #onRefused;
  #waiting = [];
  #active = new Set();
  #refused = new Set();
  #done = 0;
  #total = 0;

  /** `onUploaded(photo)` for each that the api took; `onRefused(name, reason)` for each that it did not. */
  constructor({ panel, list, title, cancelButton, dismissButton }, { client, onUploaded, onRefused }) {
    this.#panel = panel;
    this.#list = list;
    this.#title = title;
    this.#cancelButton = cancelButton;
    this.#dismissButton = dismissButton;
    this.#client = client;
    this.#onUploaded = onUploaded;
    this.#onRefused = onRefused;
    cancelButton.addEventListener("click", () => this.#cancel());
    dismissButton.addEventListener("click", () => this.#dismissAll());
    window.addEventListener("beforeunload", (event) => this.#active.size && event.preventDefault());
  }

  /** Queue files. */
  add(files) {
    for (const file of files) this.#waiting.push({ file, key: newKey() });
    this.#total += files.length;
    this.#next();
  }

  #next() {
    while (this.#active.size < AT_ONCE && this.#waiting.length) this.#start(this.#waiting.shift());
    if (!this.#active.size) this.#done = this.#total = 0;
    this.#draw();
  }

  async #start(upload) {
    const row = new Row(upload.file);
    const abort = new AbortController();
    const running = { abort, row };
    this.#active.add(running);
    this.#list.prepend(row.element);
    try {
      const photo = await this.#client.upload(upload.file, {
        key: upload.key,
        signal: abort.signal,
        onProgress: (fraction) => row.progress(fraction),
      });
      row.element.remove();
      this.#onUploaded(photo);
    } catch (problem) {
      if (abort.signal.aborted) row.element.remove();
      else this.#refuse(upload, row, problem);
    }
    this.#active.delete(running);
    this.#done += 1;
    this.#next();
  }

  #refuse(upload, row, problem) {
    this.#refused.add(row);
    row.refuse(problem, {
      onDismiss: () => this.#dismiss(row),
      onAgain: problem.isPassing && (() => {
        this.#dismiss(row);
        this.#waiting.push(upload);
        this.#total += 1;
        this.#next();
      }),
    });
    // Reasons stand above what is still under way.
    this.#list.prepend(row.element);
    this.#onRefused(upload.file.name, problem);
  }

  #dismiss(row) {
    const next = row.element.nextElementSibling?.querySelector("button") ?? this.#dismissButton;
    this.#refused.delete(row);
    row.element.remove();
    next.focus();
    this.#draw();
  }

  #dismissAll() {
    for (const row of this.#refused) row.element.remove();
    this.#refused.clear();
    this.#draw();
  }

  #cancel() {
    this.#total -= this.#waiting.length;
    this.#waiting = [];
    for (const { abort } of this.#active) abort.abort();
    this.#draw();
  }

  #draw() {
    const isBusy = this.#active.size > 0;
    this.#panel.hidden = !isBusy && !this.#refused.size;
    this.#cancelButton.hidden = !isBusy;
    this.#dismissButton.hidden = this.#refused.size < 2;
    const parts = [];
    if (isBusy) parts.push(`Uploading ${this.#done + 1} of ${photos(this.#total)}`);
    if (this.#refused.size) parts.push(`${this.#refused.size} not taken`);
    setText(this.#title, parts.join("  ·  "));
  }
}

/** One line of the list. */
class Row {
  element;
  #bar = make("progress", { max: "1", value: "0" });
  #state = make("span", { class: "upload-state" }, "0 %");

  constructor(file) {
    const name = make("span", { class: "upload-name" }, file.webkitRelativePath || file.name);
    this.#bar.setAttribute("aria-label", `Upload of ${file.name}`);
    this.element = make("li", { class: "upload" }, name, make("span", { class: "upload-size" }, fileSize(file.size)), this.#bar, this.#state);
  }

  progress(fraction) {
    this.#bar.value = fraction;
    setText(this.#state, fraction >= 1 ? "storing…" : `${Math.floor(fraction * 100)} %`);
  }

  refuse(problem, { onDismiss, onAgain }) {
    this.#bar.remove();
    this.element.classList.add("refused");
    const title = problem.status ? `${problem.status} ${problem.title}` : problem.title;
    this.#state.replaceChildren(make("b", {}, title), problem.detail ? ` ${problem.detail}` : "");
    const actions = make("span", { class: "upload-actions" });
    if (onAgain) actions.append(action("Try again", onAgain));
    actions.append(action("Dismiss", onDismiss));
    this.element.append(actions);
  }
}

function action(label, onClick) {
  const button = make("button", { type: "button", class: "plain" }, label);
  button.addEventListener("click", onClick);
  return button;
}

/** Not crypto.randomUUID: that is missing where the page is served over plain HTTP from another machine. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
