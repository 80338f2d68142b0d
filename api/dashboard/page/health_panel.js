/** The components of the pipeline that do not work, with what that means for the user and since when. */

import { isolated, make } from "./elements.js";
import { ago } from "./format.js";

/** In the order in which they are listed. `effect`: what the user of this page notices. */
const COMPONENTS = {
  database: { name: "database", effect: "Uploads are refused, and the numbers and photos on this page may be out of date." },
  storage: { name: "storage", effect: "Uploads are refused, thumbnails are not shown, and processing waits." },
  broker: { name: "Kafka", effect: "Uploads are stored; thumbnails are made when Kafka works again." },
  worker: { name: "worker", effect: "Uploads stay pending; thumbnails are made when a worker runs." },
  projector: { name: "projector", effect: "Thumbnails may be made, but are not shown here yet." },
};

export class HealthPanel {
  #root;
  #list;
  #failing = [];

  constructor(root) {
    this.#root = root;
    this.#list = root.querySelector("ul");
  }

  /** Whether this component is known not to work. */
  isFailing(key) {
    return this.#failing.some(([one]) => one === key);
  }

  /** Show a `health` message. */
  show({ parts }) {
    const order = Object.keys(COMPONENTS);
    this.#failing = Object.entries(parts ?? {})
      .filter(([, part]) => part?.ok === false)
      .sort(([left], [right]) => order.indexOf(left) - order.indexOf(right));
    this.#root.hidden = !this.#failing.length;
    this.#list.replaceChildren(...this.#failing.map(([key, part]) => itemOf(key, part)));
  }

  /** Update the times. */
  tick() {
    for (const time of this.#list.querySelectorAll("time")) time.textContent = `detected ${ago(time.dateTime)}`;
  }
}

function nameOfComponent(key) {
  return COMPONENTS[key]?.name ?? key;
}

function itemOf(key, { reason, since }) {
  return make("li", {},
    make("b", {}, `${nameOfComponent(key)}: `),
    isolated(reason || "does not work"), " ",
    make("time", { datetime: since, "aria-hidden": "true" }, `detected ${ago(since)}`),
    make("span", { class: "effect" }, COMPONENTS[key]?.effect ?? ""));
}
