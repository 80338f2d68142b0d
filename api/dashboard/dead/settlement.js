/** Replays or drops the dead letters that are listed: a dry run first, then the real thing. */

import { button, byId, make, setText } from "../page/elements.js";
import { count } from "../page/format.js";
import { OneAtATime } from "../page/one_at_a_time.js";

/** One request's worth; after each the progress is shown. */
const PAGE = 500;

export class Settlement {
  #client;
  #onDone;
  #filter = {};
  #how = "";
  #work;
  #parts = {};

  /** `onDone()` is called when dead letters were settled. */
  constructor({ client, onDone }) {
    this.#client = client;
    this.#onDone = onDone;
    const part = (name, element) => (this.#parts[name] = element);
    byId("dead-actions").append(
      part("replay", button("Replay these…", "", () => this.#work.run(() => this.#ask("replay")))),
      part("drop", button("Drop these…", "plain danger", () => this.#work.run(() => this.#ask("drop")))),
      part("confirm", button("", "primary", () => this.#work.run(() => this.#settle()))),
      part("cancel", button("Cancel", "plain", () => this.#work.isBusy || this.#end(""))),
      part("note", make("p", { class: "retries-note", role: "status" })));
    const { replay, drop, confirm, cancel } = this.#parts;
    this.#work = new OneAtATime([replay, drop, confirm, cancel], (problem) => this.#end(problem.message));
    this.#showButtons(false);
  }

  /** The conditions of the dead letters that are listed. Another filter ends a question that is open. */
  setFilter(filter) {
    const isSame = JSON.stringify(filter) === JSON.stringify(this.#filter);
    this.#filter = filter;
    if (!isSame && !this.#work.isBusy) this.#end("");
  }

  async #ask(how) {
    this.#how = how;
    this.#say("Counting…");
    const { matched, skipped, more, skipped_because: because } = await this.#client.settleDeadLetters(how, { ...this.#filter, dry_run: true, limit: 10_000 });
    const number = `${letters(matched - skipped)}${more ? " or more" : ""}`;
    const left = skipped ? ` ${letters(skipped)} cannot be replayed: ${because[0]?.reason ?? "no reason was given"}.` : "";
    if (matched - skipped <= 0) {
      this.#say(`Nothing to ${how}.${left}`);
      return;
    }
    const effect = how === "replay" ? "sends them to the topics that they were read from" : "has them no longer listed; Kafka keeps them as long as its retention says";
    this.#say(`Would ${how} ${number}: this ${effect}.${left}`);
    setText(this.#parts.confirm, `${how === "replay" ? "Replay" : "Drop"} ${number}`);
    this.#parts.confirm.className = how === "replay" ? "primary" : "danger solid";
    this.#showButtons(true);
    this.#parts.confirm.focus();
  }

  async #settle() {
    let done = 0;
    let answer;
    // What cannot be replayed stays and would match again for ever: the end is where nothing was done.
    do {
      // Without a condition all are meant, which the API wants to be told.
      const all = this.#how === "drop" ? { all: true } : {};
      answer = await this.#client.settleDeadLetters(this.#how, { ...this.#filter, ...all, limit: PAGE });
      done += answer.done;
      this.#say(`${letters(done)} ${this.#how === "replay" ? "replayed" : "dropped"}${answer.more ? " so far" : ""}.`);
    } while (answer.more && answer.done);
    this.#end(this.#parts.note.textContent);
    this.#onDone();
  }

  #end(text) {
    this.#say(text);
    this.#showButtons(false);
  }

  #showButtons(isAsking) {
    const { replay, drop, confirm, cancel } = this.#parts;
    const hadFocus = byId("dead-actions").contains(document.activeElement);
    replay.hidden = drop.hidden = isAsking;
    confirm.hidden = cancel.hidden = !isAsking;
    if (hadFocus) (isAsking ? confirm : replay).focus();
  }

  #say(text) {
    setText(this.#parts.note, text);
  }
}

function letters(number) {
  return `${count(number)} dead ${number === 1 ? "letter" : "letters"}`;
}
