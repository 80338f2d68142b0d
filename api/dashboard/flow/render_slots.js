/** The render slots of the workers: a row for each, with the photo that holds it and how much of its time is used up. */

import { isolated, make, setText } from "../page/elements.js";
import { count, duration, isolatedName } from "../page/format.js";
import { heldPhoto } from "./held_photo.js";

/** Of a worker with more slots only those that are held have a row. */
const MAX_ROWS = 16;

/**
 * Draws into `container` what `GET …/workers` answers. Rows stay in place, so that the focus and the eye do too.
 *
 * `workspace`: the workspace of this page; `onOpen(photo)` is called for one of its photos that is clicked.
 */
export class RenderSlots {
  #container;
  #photoOf;
  #workers = new Map();

  constructor(container, page) {
    this.#container = container;
    this.#photoOf = (held) => heldPhoto(held, page);
  }

  /** Show the slots of these workers; those that are silent hold none that is known. */
  show(workers) {
    const living = workers.filter((worker) => worker.name !== null && !worker.is_silent);
    const names = new Set(living.map(({ name }) => name));
    for (const name of this.#workers.keys()) if (!names.has(name)) this.#workers.delete(name);
    const receivedAt = performance.now();
    const elements = living.map((worker) => {
      const known = this.#workers.get(worker.name) ?? new WorkerSlots(worker.name, this.#photoOf);
      this.#workers.set(worker.name, known);
      known.show(worker, receivedAt);
      return known.element;
    });
    const { children } = this.#container;
    // A move takes the focus.
    if (elements.length !== children.length || elements.some((element, at) => element !== children[at])) this.#container.replaceChildren(...elements);
  }

  /** Update the times; call it once a second. */
  tick() {
    for (const worker of this.#workers.values()) worker.tick();
  }
}

/** The slots of one worker. */
class WorkerSlots {
  element;
  #photoOf;
  #name;
  #title;
  #list;
  #more;
  #rows = new Map();
  #receivedAt = 0;
  #age = 0;

  constructor(name, photoOf) {
    this.#photoOf = photoOf;
    this.#name = name;
    this.#title = make("p", { class: "slots-title" });
    this.#list = make("ol", { class: "slots-list" });
    this.#more = make("p", { class: "muted" });
    this.element = make("section", { class: "slots-of-worker", "aria-label": `Render slots of ${isolatedName(name)}` }, this.#title, this.#list, this.#more);
  }

  show(worker, receivedAt) {
    this.#receivedAt = receivedAt;
    this.#age = worker.last_heartbeat_seconds;
    const waiting = worker.queued ? `, ${count(worker.queued)} waiting` : "";
    const text = `${count(worker.busy_count)} of ${count(worker.slots)} busy${waiting}`;
    if (this.#title.dataset.text !== text) {
      this.#title.dataset.text = text;
      this.#title.replaceChildren(isolated(this.#name), make("span", { class: "muted" }, ` ${text}`));
    }
    const held = new Map(worker.busy.map((slot) => [slot.slot, slot]));
    const numbers = worker.slots <= MAX_ROWS ? [...Array(worker.slots).keys()] : [...held.keys()].sort((left, right) => left - right);
    for (const number of this.#rows.keys()) if (!numbers.includes(number)) this.#rows.delete(number);
    const isCut = worker.busy_count > worker.busy.length;
    const elements = numbers.map((number) => {
      const row = this.#rows.get(number) ?? new SlotRow(number);
      this.#rows.set(number, row);
      row.show(held.get(number), isCut, this.#photoOf);
      return row.element;
    });
    if (elements.length !== this.#list.children.length || elements.some((element, at) => element !== this.#list.children[at])) this.#list.replaceChildren(...elements);
    setText(this.#more, isCut ? `and ${count(worker.busy_count - worker.busy.length)} more, which do not fit into a heartbeat` : "");
    this.#more.hidden = !isCut;
    this.tick();
  }

  tick() {
    const since = this.#age + (performance.now() - this.#receivedAt) / 1000;
    for (const row of this.#rows.values()) row.tick(since);
  }
}

/** One slot. */
class SlotRow {
  element;
  #photo = make("div", { class: "slot-holder" });
  #attempt = make("span", { class: "slot-attempt" });
  #bar = make("progress", { max: "1", value: "0" });
  #time = make("span", { class: "slot-time" });
  #shown = "";
  #held = null;

  constructor(number) {
    this.element = make("li", { class: "slot" }, make("span", { class: "slot-number" }, `slot ${number + 1}`), this.#photo, this.#attempt, this.#bar, this.#time);
    this.#bar.setAttribute("aria-label", `Time used up by the photo in slot ${number + 1}`);
  }

  show(held, isUnknown, photoOf) {
    this.#held = held ?? null;
    const shown = JSON.stringify([held?.photo_id, held?.photo?.filename, held?.photo?.thumbhash, isUnknown]);
    if (shown !== this.#shown) {
      this.#shown = shown;
      this.element.classList.toggle("is-idle", !held);
      const idle = isUnknown ? "not known" : "idle";
      this.#photo.replaceChildren(held ? photoOf(held) : make("span", { class: "muted" }, idle));
    }
    setText(this.#attempt, held ? `attempt ${count(held.attempt)}` : "");
    this.#bar.hidden = !held?.limit_seconds;
  }

  /** `since`: seconds since the worker has told of it. */
  tick(since) {
    if (!this.#held) return setText(this.#time, "");
    const { busy_seconds: busy, limit_seconds: limit } = this.#held;
    const seconds = busy + since;
    if (limit) this.#bar.value = Math.min(1, seconds / limit);
    return setText(this.#time, limit ? `${duration(seconds)} of ${duration(limit)} at most` : duration(seconds));
  }
}
