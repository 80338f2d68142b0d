/** Tries the failed photos of one error code again: a sample of them first, then all that match. */

import { button, make, setText } from "../page/elements.js";
import { photos } from "../page/format.js";
import { OneAtATime } from "../page/one_at_a_time.js";
import { retryAll } from "../server/retry_all.js";

const SAMPLE = 5;

export class Retries {
  element;
  #code;
  #client;
  #group = null;
  #parts = {};
  #work;
  #isStopped = false;
  /** The photos of the sample that have no result yet, and the results of the others. */
  #waiting = new Set();
  #results = { ready: 0, failed: 0 };

  constructor(code, client) {
    this.#code = code;
    this.#client = client;
    const part = (name, element) => (this.#parts[name] = element);
    const buttonPart = (name, label, className, act) => part(name, button(label, className, act));
    this.element = make("div", { class: "retries" },
      buttonPart("sample", "", "", () => this.#work.run(() => this.#retrySample())),
      buttonPart("all", "Try all again…", "plain", () => this.#work.run(() => this.#ask())),
      buttonPart("confirm", "", "primary", () => this.#work.run(() => this.#retryAll())),
      buttonPart("cancel", "Cancel", "plain", () => this.#cancel()),
      part("note", make("p", { class: "retries-note", role: "status" })));
    const { sample, all, confirm } = this.#parts;
    this.#work = new OneAtATime([sample, all, confirm], (problem) => {
      this.#say(problem.message);
      this.#showButtons(false);
    });
    this.#showButtons(false);
  }

  /** The photos to try again: a group as in `FailureGroup`. */
  show(group) {
    const isOther = this.#group && (this.#group.contentType !== group.contentType || this.#group.producer !== group.producer);
    this.#group = group;
    const number = Math.min(SAMPLE, group.samples.length);
    setText(this.#parts.sample, number === 1 ? "Try one again" : `Try a sample of ${number} again`);
    if (isOther && !this.#work.isBusy) this.#cancel();
  }

  /** A photo has changed: count the results of the sample. */
  notePhoto({ id, thumbnail_status: status }) {
    if (!(status in this.#results) || !this.#waiting.delete(id)) return;
    this.#results[status] += 1;
    this.#sayResults();
  }

  async #retrySample() {
    this.#waiting = new Set(this.#group.samples.slice(0, SAMPLE).map(({ id }) => id));
    this.#results = { ready: 0, failed: 0 };
    this.#say("Sending…");
    for (const id of [...this.#waiting]) {
      try {
        await this.#client.retry(id);
      } catch (problem) {
        if (problem.status !== 404) throw problem;
        this.#waiting.delete(id);
      }
    }
    this.#sayResults();
  }

  #sayResults() {
    const { ready, failed } = this.#results;
    const total = ready + failed + this.#waiting.size;
    const parts = [ready && `${ready} ready`, failed && `${failed} failed again`, this.#waiting.size && `${this.#waiting.size} not done yet`];
    const advice = total && failed === total ? " Trying the others again is of little use before the cause is removed." : "";
    this.#say(`Of ${photos(total)} tried again: ${parts.filter(Boolean).join(", ") || "none is there any more"}.${advice}`);
  }

  /** Say how many they are, and ask whether to go on. */
  async #ask() {
    this.#say("Counting…");
    const { count: number } = await this.#client.retryAll({ ...this.#criteria(), dry_run: true });
    if (!number) {
      this.#say("No photo matches any more.");
      return;
    }
    this.#say(`This renders ${photos(number)} again.`);
    setText(this.#parts.confirm, `Try ${photos(number)} again`);
    this.#showButtons(true);
    this.#parts.confirm.focus();
  }

  async #retryAll() {
    this.#isStopped = false;
    setText(this.#parts.cancel, "Stop");
    const sent = await retryAll((body) => this.#client.retryAll(body), this.#criteria(), {
      onPage: (number, hasMore) =>
        this.#say(hasMore ? `${photos(number)} sent; the others follow as these are done. Keep this page open.` : `${photos(number)} sent.`),
      isStopped: () => this.#isStopped,
    });
    if (this.#isStopped) this.#say(`Stopped: ${photos(sent)} sent.`);
    this.#showButtons(false);
  }

  #criteria() {
    const { contentType, producer } = this.#group;
    return { status: "failed", code: this.#code, ...(contentType ? { content_type: contentType } : {}), ...(producer ? { producer } : {}) };
  }

  #cancel() {
    this.#isStopped = true;
    if (this.#work.isBusy) return;
    this.#say("");
    this.#showButtons(false);
  }

  #showButtons(isAsking) {
    const { sample, all, confirm, cancel } = this.#parts;
    const hadFocus = this.element.contains(document.activeElement);
    sample.hidden = all.hidden = isAsking;
    confirm.hidden = cancel.hidden = !isAsking;
    setText(cancel, "Cancel");
    if (hadFocus) (isAsking ? confirm : all).focus();
  }

  #say(text) {
    setText(this.#parts.note, text);
  }
}
