/**
 * Uploads files, four at a time. While the server does not answer, the queue waits and continues by itself. The list is folded
 * into one line; a refused file is shown all the same, with the reason, until it is dismissed.
 */

import { byId, setText } from "../page/elements.js";
import { photos, visible } from "../page/format.js";
import { backoffMs } from "../feed.js";
import { Problem } from "../server/client.js";
import { UploadRow } from "./upload_row.js";

const MAX_ACTIVE = 4;
/** After so many answers with status 500, a file is not retried automatically. */
const MAX_SERVER_ERRORS = 4;

export class UploadQueue {
  #client;
  #handlers;
  #waiting = [];
  #active = new Set();
  /** Of each refused file's row what tries it again; null where that would be in vain. */
  #refused = new Map();
  #done = 0;
  /** Attempts in a row in which the server was unavailable. While above 0, only one upload at a time is tried. */
  #failures = 0;
  #reason = "";
  #resumeAt = 0;
  #timer = 0;

  /**
   * `onUploaded(photo)` is called for each accepted file, `onRefused(name, problem)` for each refused one, and
   * `onWaiting(sentence)` when the queue has to wait for the server.
   */
  constructor({ client, ...handlers }) {
    this.#client = client;
    this.#handlers = handlers;
    byId("uploads-fold").addEventListener("click", () => this.#fold(!byId("uploads").classList.contains("is-folded")));
    byId("uploads-retry").addEventListener("click", () => this.#retryAll());
    byId("uploads-now").addEventListener("click", () => this.resume());
    byId("uploads-cancel").addEventListener("click", () => this.cancelAll());
    byId("uploads-dismiss").addEventListener("click", () => this.#dismissAll());
    // What else is at the lower edge of the window stays above.
    new ResizeObserver(([{ target }]) => document.body.style.setProperty("--uploads-height", `${target.offsetHeight}px`)).observe(byId("uploads"));
    window.addEventListener("beforeunload", (event) => this.unfinished && event.preventDefault());
  }

  /** How many files are not uploaded yet. */
  get unfinished() {
    return this.#waiting.length + this.#active.size;
  }

  /** Queue files. Each has one idempotency key, so that it becomes one photo however often it is sent. */
  add(files) {
    for (const file of files) this.#enqueue(file, newKey());
    this.#next();
  }

  /** Stop waiting: the server may be available again. */
  resume() {
    if (!this.#waiting.length) return;
    this.#resumeAt = 0;
    this.#next();
  }

  cancelAll() {
    for (const upload of [...this.#waiting, ...this.#active]) {
      upload.abort?.abort();
      upload.row?.element.remove();
    }
    this.#waiting = [];
    // Now, not when the aborted requests have ended: the page may be about to unload.
    this.#active.clear();
    this.#next();
  }

  #enqueue(file, key) {
    this.#waiting.push({ file, key, serverErrors: 0 });
  }

  #next() {
    clearTimeout(this.#timer);
    const wait = this.#resumeAt - Date.now();
    const maxActive = this.#failures ? 1 : MAX_ACTIVE;
    while (wait <= 0 && this.#active.size < maxActive && this.#waiting.length) this.#start(this.#waiting.shift());
    if (!this.unfinished) this.#done = this.#failures = this.#resumeAt = 0;
    // Not once after `wait`, because the title counts down the seconds.
    if (wait > 0 && this.#waiting.length) this.#timer = setTimeout(() => this.#next(), Math.min(wait, 500));
    this.#draw();
  }

  async #start(upload) {
    upload.abort = new AbortController();
    upload.row ??= new UploadRow(upload.file, { onCancel: () => this.#cancel(upload) });
    this.#active.add(upload);
    byId("uploads-list").prepend(upload.row.element);
    try {
      const photo = await this.#client.upload(upload.file, {
        key: upload.key,
        signal: upload.abort.signal,
        onProgress: (fraction) => upload.row.setProgress(fraction),
      });
      this.#serverAnswered();
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
    // A file that was changed or deleted looks like a lost connection.
    const isReadable = problem.status !== 0 || (await canRead(upload.file));
    if (upload.abort.signal.aborted) return;
    if (problem.status === 500) upload.serverErrors += 1;
    if (!isReadable) this.#refuse(upload, new Problem(0, "Cannot be read", "The file was changed, moved or deleted after it was chosen. Choose it again."));
    else if (problem.isTemporary && upload.serverErrors < MAX_SERVER_ERRORS) this.#requeue(upload, problem);
    else this.#refuse(upload, problem);
  }

  /** Put the upload at the end of the queue, so that a file that always fails does not block the others. */
  #requeue(upload, problem) {
    upload.row.setWaiting();
    this.#waiting.push(upload);
    if (Date.now() < this.#resumeAt) return;
    this.#failures += 1;
    this.#reason = problem.status ? `${problem.status} ${problem.message}` : "no answer";
    this.#resumeAt = Date.now() + Math.max(backoffMs(this.#failures), problem.retryAfterSeconds * 1000);
    if (this.#failures === 2) {
      this.#handlers.onWaiting(`The server is unavailable. The upload of ${photos(this.unfinished)} continues when it is back`);
    }
  }

  #refuse(upload, problem) {
    if (problem.status) this.#serverAnswered();
    const retry = () => {
      this.#dismiss(upload.row);
      this.#enqueue(upload.file, upload.key);
      this.#next();
    };
    const onRetry = problem.isTemporary && problem.status ? retry : null;
    this.#refused.set(upload.row, onRetry);
    upload.row.setRefused(problem, { onDismiss: () => this.#dismiss(upload.row), onRetry });
    // Refused files are listed first.
    byId("uploads-list").prepend(upload.row.element);
    this.#handlers.onRefused(visible(upload.file.name), problem);
  }

  #serverAnswered() {
    this.#failures = 0;
    this.#resumeAt = 0;
  }

  #cancel(upload) {
    upload.abort.abort();
    this.#waiting = this.#waiting.filter((one) => one !== upload);
    this.#remove(upload);
    this.#next();
  }

  #remove({ row }) {
    if (row.hasFocus) byId("uploads-title").focus();
    row.element.remove();
  }

  #dismiss(row) {
    const { hasFocus } = row;
    const next = row.element.nextElementSibling?.querySelector("button");
    this.#refused.delete(row);
    row.element.remove();
    this.#draw();
    // Buttons of rows that are folded away cannot take the focus.
    if (hasFocus) (next?.offsetParent ? next : byId("uploads-title")).focus();
  }

  get #retries() {
    return [...this.#refused.values()].filter(Boolean);
  }

  #retryAll() {
    for (const retry of this.#retries) retry();
    byId("uploads-title").focus();
  }

  #fold(isFolded) {
    byId("uploads").classList.toggle("is-folded", isFolded);
    byId("uploads-fold").setAttribute("aria-expanded", String(!isFolded));
    setText(byId("uploads-fold"), isFolded ? "Show files" : "Hide files");
  }

  #dismissAll() {
    for (const row of this.#refused.keys()) row.element.remove();
    this.#refused.clear();
    this.#draw();
  }

  #draw() {
    const { unfinished } = this;
    const refused = this.#refused.size;
    const wait = Math.ceil((this.#resumeAt - Date.now()) / 1000);
    byId("uploads").hidden = !unfinished && !refused;
    byId("uploads-cancel").hidden = !unfinished;
    byId("uploads-now").hidden = !(unfinished && this.#failures && wait > 0);
    byId("uploads-fold").hidden = !unfinished;
    byId("uploads-retry").hidden = this.#retries.length < 2;
    byId("uploads-dismiss").hidden = refused < 2;
    const parts = [];
    if (unfinished) parts.push(`${this.#failures ? "Waiting for the server" : "Uploading"}: ${this.#done} of ${photos(this.#done + unfinished)} done`);
    if (unfinished && this.#failures) parts.push(wait > 0 ? `${this.#reason}, next attempt in ${wait} s` : `${this.#reason}, trying again`);
    if (refused) parts.push(`${refused} refused`);
    setText(byId("uploads-title"), parts.join("  ·  "));
  }
}

/** Whether the file can still be read. */
async function canRead(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/** A random key. crypto.randomUUID is missing on pages that are served over plain HTTP from another machine. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
