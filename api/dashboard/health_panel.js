/** The parts of the pipeline that do not do their work, each with what that means for a person and since when. */

import { isolated, make } from "./elements.js";
import { age } from "./wording.js";

/** In the order of a photo's way. `effect`: what a person at this page sees of it. */
const PARTS = {
  database: { name: "database", effect: "Uploads are refused, and figures and photos on this page may be old." },
  storage: { name: "storage", effect: "Uploads are refused and thumbnails are not shown; photos wait." },
  broker: { name: "Kafka", effect: "Uploads are kept; their thumbnails follow when it answers again." },
  worker: { name: "worker", effect: "Uploads are kept as pending; their thumbnails follow when a worker runs." },
  projector: { name: "projector", effect: "Thumbnails may be made, but are not shown here yet." },
};

export class HealthPanel {
  #root;
  #list;
  #parts = {};

  constructor(root) {
    this.#root = root;
    this.#list = root.querySelector("ul");
  }

  /** The names of the parts that are known not to do their work. */
  get away() {
    return this.#away().map(([key]) => nameOfPart(key));
  }

  /** Whether this part is known not to do its work. */
  isAway(key) {
    return this.#parts[key]?.ok === false;
  }

  /** Take in a `health` message. */
  show({ parts }) {
    this.#parts = parts ?? {};
    this.#root.hidden = !this.#away().length;
    this.#list.replaceChildren(...this.#away().map(([key, part]) => itemOf(key, part)));
  }

  /** Bring the times up to date. */
  tick() {
    for (const time of this.#list.querySelectorAll("time")) time.textContent = noticed(time.dateTime);
  }

  #away() {
    const order = Object.keys(PARTS);
    return Object.entries(this.#parts)
      .filter(([, part]) => part?.ok === false)
      .sort(([left], [right]) => order.indexOf(left) - order.indexOf(right));
  }
}

function noticed(since) {
  const text = age(since);
  return text === "now" ? "noticed just now" : `noticed ${text} ago`;
}

function nameOfPart(key) {
  return PARTS[key]?.name ?? key;
}

function itemOf(key, { reason, since }) {
  return make("li", {},
    make("b", {}, `${nameOfPart(key)}: `),
    isolated(reason || "it does nothing"), " ",
    make("time", { datetime: since, "aria-hidden": "true" }, noticed(since)),
    make("span", { class: "effect" }, PARTS[key]?.effect ?? ""));
}
