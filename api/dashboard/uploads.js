/**
 * The queue of uploads: four at once. While the server is away the queue waits for it and goes on by itself; a file
 * that the server refuses stays listed with the reason until it is dismissed.
 */

import { Problem } from "./client.js";
import { setText } from "./elements.js";
import { UploadRow } from "./upload_row.js";
import { harmless, photos } from "./wording.js";

const AT_ONCE = 4;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
/** A file to which the server answers with a fault of its own so many times is not sent again by itself. */
const MOST_FAULTS = 4;

export class Uploads {
  #parts;
  #client;
  #handlers;
  #waiting = [];
  #active = new Set();
  #refused = new Set();
  #done = 0;
  /** How many times in a row the server was found to be away; while it is, one upload asks for all. */
  #failures = 0;
  #reason = "";
  #resumeAt = 0;
  #timer = 0;

  /**
   * `parts`: `panel`, `list`, `title`, `nowButton`, `cancelButton`, `dismissButton`. `onUploaded(photo)` for each that
   * the api took, `onRefused(name, problem)` for each that it did not, `onWaiting(sentence)` when the queue has to wait.
   */
  constructor(parts, { client, ...handlers }) {
    this.#parts = parts;
    this.#client = client;
    this.#handlers = handlers;
    parts.nowButton.addEventListener("click", () => this.tryNow());
    parts.cancelButton.addEventListener("click", () => this.#cancelAll());
    parts.dismissButton.addEventListener("click", () => this.#dismissAll());
    window.addEventListener("beforeunload", (event) => this.#left && event.preventDefault());
  }

  /** Queue files. Each keeps one idempotency key, so that it becomes one photo however often it is sent. */
  add(files) {
    for (const file of files) this.#waiting.push({ file, key: newKey(), faults: 0 });
    this.#next();
  }

  /** The server may be back: do not wait any longer. */
  tryNow() {
    if (!this.#waiting.length) return;
    this.#resumeAt = 0;
    this.#next();
  }

  get #left() {
    return this.#waiting.length + this.#active.size;
  }

  #next() {
    clearTimeout(this.#timer);
    const wait = this.#resumeAt - Date.now();
    const atOnce = this.#failures ? 1 : AT_ONCE;
    while (wait <= 0 && this.#active.size < atOnce && this.#waiting.length) this.#start(this.#waiting.shift());
    if (!this.#left) this.#done = this.#failures = this.#resumeAt = 0;
    // The seconds that are left are shown, so it is looked at again in a moment.
    if (wait > 0 && this.#waiting.length) this.#timer = setTimeout(() => this.#next(), Math.min(wait, 500));
    this.#draw();
  }

  async #start(upload) {
    upload.abort = new AbortController();
    upload.row ??= new UploadRow(upload.file, { onCancel: () => this.#cancel(upload) });
    this.#active.add(upload);
    this.#parts.list.prepend(upload.row.element);
    try {
      const photo = await this.#client.upload(upload.file, {
        key: upload.key,
        signal: upload.abort.signal,
        onProgress: (fraction) => upload.row.progress(fraction),
      });
      this.#serverIsThere();
      this.#done += 1;
      this.#remove(upload);
      this.#handlers.onUploaded(photo);
    } catch (problem) {
      if (!upload.abort.signal.aborted) await this.#failed(upload, problem);
    }
    this.#active.delete(upload);
    this.#next();
  }

  async #failed(upload, problem) {
    const isReadable = problem.status !== 0 || (await canRead(upload.file));
    if (upload.abort.signal.aborted) return;
    if (problem.status >= 500) upload.faults += problem.status === 500 ? 1 : 0;
    if (!isReadable) this.#refuse(upload, new Problem(0, "Cannot be read", "The file was changed, moved or deleted after it was chosen. Choose it again."));
    else if (problem.isPassing && upload.faults < MOST_FAULTS) this.#putBack(upload, problem);
    else this.#refuse(upload, problem);
  }

  /** Behind all others: should only this file be at fault, it holds up none. */
  #putBack(upload, problem) {
    upload.row.wait();
    this.#waiting.push(upload);
    if (Date.now() < this.#resumeAt) return;
    this.#failures += 1;
    this.#reason = problem.status ? `${problem.status} ${problem.message}` : "no answer";
    const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#failures - 1));
    this.#resumeAt = Date.now() + Math.max(ceiling * (0.5 + Math.random() / 2), problem.retryAfter * 1000);
    if (this.#failures === 2) {
      this.#handlers.onWaiting(`The server is away. ${photos(this.#left)} wait and go out by themselves when it is back`);
    }
  }

  #refuse(upload, problem) {
    if (problem.status) this.#serverIsThere();
    this.#refused.add(upload.row);
    upload.row.refuse(problem, {
      onDismiss: () => this.#dismiss(upload.row),
      onAgain: problem.isPassing && problem.status && (() => {
        this.#dismiss(upload.row);
        this.#waiting.push({ file: upload.file, key: upload.key, faults: 0 });
        this.#next();
      }),
    });
    // Reasons stand above what is still under way.
    this.#parts.list.prepend(upload.row.element);
    this.#handlers.onRefused(harmless(upload.file.name), problem);
  }

  #serverIsThere() {
    this.#failures = 0;
    this.#resumeAt = 0;
  }

  #cancel(upload) {
    upload.abort.abort();
    this.#waiting = this.#waiting.filter((one) => one !== upload);
    this.#remove(upload);
    this.#next();
  }

  #cancelAll() {
    for (const upload of [...this.#waiting, ...this.#active]) {
      upload.abort?.abort();
      upload.row?.element.remove();
    }
    this.#waiting = [];
    this.#next();
  }

  #remove({ row }) {
    if (row.hasFocus) this.#parts.title.focus();
    row.element.remove();
  }

  #dismiss(row) {
    const next = row.element.nextElementSibling?.querySelector("button") ?? this.#parts.dismissButton;
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

  #draw() {
    const { panel, nowButton, cancelButton, dismissButton, title } = this.#parts;
    const left = this.#left;
    const wait = Math.ceil((this.#resumeAt - Date.now()) / 1000);
    panel.hidden = !left && !this.#refused.size;
    cancelButton.hidden = !left;
    nowButton.hidden = !(left && this.#failures && wait > 0);
    dismissButton.hidden = this.#refused.size < 2;
    const parts = [];
    if (left) parts.push(`${this.#failures ? "Waiting for the server" : "Uploading"}: ${this.#done} of ${photos(this.#done + left)} done`);
    if (left && this.#failures) parts.push(wait > 0 ? `${this.#reason}, next try in ${wait} s` : `${this.#reason}, trying again`);
    if (this.#refused.size) parts.push(`${this.#refused.size} not taken`);
    setText(title, parts.join("  ·  "));
  }
}

/** Whether the file is still as it was chosen; a browser tells of one that is not as of a lost connection. */
async function canRead(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/** Not crypto.randomUUID: that is missing where the page is served over plain HTTP from another machine. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
