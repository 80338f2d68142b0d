/** The photos that wait for another attempt: which one, why, and in how long. */

import { byId, make, setText } from "../page/elements.js";
import { count, duration, visible } from "../page/format.js";
import { heldPhoto } from "./held_photo.js";

/** Draws into the section `flow-retries` what `GET …/workers` answers. Rows stay in place while a photo waits. */
export class WaitingRetries {
  #page;
  #rows = new Map();

  /** `page`: `{workspace, onOpen}` as for `heldPhoto`. */
  constructor(page) {
    this.#page = page;
  }

  /** Show the retries of these workers, those due first before the others. */
  show(workers) {
    const living = workers.filter(({ is_silent: isSilent }) => !isSilent);
    const now = performance.now();
    const retries = living.flatMap((worker) =>
      worker.retrying.map((retry, at) => ({
        ...retry,
        dueAt: now + (retry.due_seconds - worker.last_heartbeat_seconds) * 1000,
        key: JSON.stringify([retry.photo_id ?? [worker.name, at], retry.attempt, retry.code, retry.photo?.updated_at]),
      })));
    retries.sort((left, right) => left.dueAt - right.dueAt);
    const known = this.#rows;
    this.#rows = new Map(retries.map((retry) => [retry.key, known.get(retry.key) ?? new RetryRow(retry, this.#page)]));
    for (const retry of retries) this.#rows.get(retry.key).dueAt = retry.dueAt;
    const elements = [...this.#rows.values()].map(({ element }) => element);
    const list = byId("flow-retries-list");
    // A move takes the focus.
    if (elements.length !== list.children.length || elements.some((element, at) => element !== list.children[at])) list.replaceChildren(...elements);
    const more = living.reduce((sum, worker) => sum + worker.retrying_count - worker.retrying.length, 0);
    setText(byId("flow-retries-more"), more > 0 ? `and ${count(more)} more later` : "");
    byId("flow-retries").hidden = !retries.length;
    this.tick();
  }

  /** Update the times; call it once a second. */
  tick() {
    for (const row of this.#rows.values()) row.tick();
  }
}

/** One photo that waits. */
class RetryRow {
  element;
  /** By the page's own clock. */
  dueAt = 0;
  #time = make("span", { class: "slot-time" });

  constructor(retry, page) {
    const code = visible(retry.code);
    this.element = make("li", { class: "slot" },
      make("span", { class: "slot-number" }, `attempt ${count(retry.attempt)}`),
      make("div", { class: "slot-holder" }, heldPhoto(retry, page)),
      make("span", { class: "slot-reason" }, ...(code ? ["after ", make("code", {}, code)] : [])),
      this.#time);
  }

  tick() {
    const seconds = (this.dueAt - performance.now()) / 1000;
    setText(this.#time, seconds > 0 ? `in ${duration(seconds)}` : "due now");
  }
}
