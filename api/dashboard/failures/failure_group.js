/** The failed photos of one error code: how many, since when, some of them, what helps, and trying them again. */

import { button, isolated, make, replaceLinks, setText } from "../page/elements.js";
import { addressOf } from "../page/address.js";
import { ago, count, dateAndTime, isolatedName, nameOf, visible } from "../page/format.js";
import { failureOf } from "../photos/failures.js";
import { previewOf } from "../photos/preview.js";
import { Retries } from "./retries.js";

const SAMPLES = 5;
const PRODUCERS = 5;

export class FailureGroup {
  element;
  #parts = {};
  #retries;
  #onOpen;
  #group = null;
  #samplesDrawn = "";
  #producersDrawn = "";

  /** `onOpen(photo)` is called for a sample that is clicked; `mayRetry`: whether the caller may render photos again. */
  constructor(code, { workspace, client, onOpen, mayRetry }) {
    this.#onOpen = onOpen;
    const part = (name, element) => (this.#parts[name] = element);
    const { canRetry, advice } = failureOf({ error: { code } });
    const titleId = `failure-${code}`;
    this.#retries = canRetry && mayRetry ? new Retries(code, client) : null;
    this.element = make("article", { class: "failure-group", "aria-labelledby": titleId, "data-status": "failed" },
      make("header", {},
        make("h3", { id: titleId },
          make("i", { class: "status-icon", "aria-hidden": "true" }),
          make("a", { href: addressOf({ workspace, place: "failures", code }), "data-place": "failures" }, isolated(code))),
        part("count", make("b", { class: "failure-count" })),
        make("p", { class: "failure-since" },
          part("firstWord", make("span", {}, "first ")), part("first", make("time")),
          part("lastWord", make("span", {}, ", last ")), part("last", make("time")))),
      part("message", make("p", { class: "failure-message", dir: "auto" })),
      part("producers", make("p", { class: "failure-producers" })),
      part("samples", make("ul", { class: "samples", "aria-label": `The last photos that failed with ${code}` })),
      make("p", { class: "failure-advice" }, advice),
      canRetry ? null : make("p", { class: "failure-final" }, "Trying the same file again does not help."),
      this.#retries?.element);
  }

  /**
   * Show `group`: `{code, count, hasMore, firstAt, lastAt, samples, contentType, producer}`, and `producers`: a Map of
   * how many photos each has produced. `addressOfProducer(producer)`: of only its failures.
   */
  show(group, addressOfProducer) {
    this.#group = group;
    const parts = this.#parts;
    setText(parts.count, `${count(group.count)}${group.hasMore ? " or more" : ""}`);
    setText(parts.message, visible(group.samples[0]?.error?.message));
    parts.message.hidden = !parts.message.textContent;
    this.#showProducers(group.producers, addressOfProducer);
    this.#showSamples(group.samples);
    this.#retries?.show(group);
    this.tick();
  }

  /** A photo has changed: it may be one that was tried again. */
  notePhoto(photo) {
    this.#retries?.notePhoto(photo);
  }

  /** Update the times. */
  tick() {
    const { firstAt, lastAt } = this.#group;
    this.#parts.first.closest("p").hidden = !firstAt;
    for (const [name, at] of [["first", firstAt], ["last", lastAt]]) {
      const time = this.#parts[name];
      setText(time, at ? ago(at) : "");
      time.dateTime = at ?? "";
      time.title = at ? dateAndTime(at) : "";
    }
    const isOneTime = this.#parts.first.textContent === this.#parts.last.textContent;
    for (const name of ["firstWord", "lastWord", "last"]) this.#parts[name].hidden = isOneTime;
  }

  /** "Produced by /shop/photos 12, /thumbstream/api 3 and 2 more". */
  #showProducers(producers, addressOfProducer) {
    const state = JSON.stringify([...producers].map(([producer, number]) => [producer, number, addressOfProducer(producer)]));
    if (state === this.#producersDrawn) return;
    this.#producersDrawn = state;
    const shown = [...producers].slice(0, PRODUCERS).flatMap(([producer, number], at) => [
      at ? ", " : "",
      producer === null ? "not known who" : make("a", { href: addressOfProducer(producer), "data-place": "failures" }, isolated(producer)),
      `\u00a0${count(number)}`,
    ]);
    const more = producers.size - PRODUCERS;
    replaceLinks(this.#parts.producers, "Produced by ", ...shown, more > 0 ? ` and ${count(more)} more` : "");
  }

  #showSamples(samples) {
    const shown = samples.slice(0, SAMPLES);
    const state = JSON.stringify(shown.map(({ id, updated_at: at }) => [id, at]));
    if (state === this.#samplesDrawn) return;
    this.#samplesDrawn = state;
    const focused = this.element.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    this.#parts.samples.replaceChildren(...shown.map((photo) => make("li", {}, this.#sample(photo))));
    if (focused) this.#parts.samples.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  }

  #sample(photo) {
    const name = nameOf(photo);
    const element = button("", "sample", () => this.#onOpen(photo), { "data-id": photo.id, title: name, "aria-label": `Open ${isolatedName(name)}` });
    // Of a photo that was ready before; others have none.
    element.append(previewOf(photo.thumbhash, "sample-picture") ?? "", make("span", { class: "sample-name", dir: "auto" }, name));
    return element;
  }
}
