/** The place of dead letters: which there are, one of them in full, and replaying or dropping them. */

import { button, byId, isolated, make, setText } from "../page/elements.js";
import { ago, count, dateAndTime, visible } from "../page/format.js";
import { showDeadLetter } from "./dead_letter_dialog.js";
import { Settlement } from "./settlement.js";

const SHOWN = 100;
/** To count them, the server reads Kafka. */
const COUNT_EVERY_MS = 60_000;

export class DeadPlace {
  #client;
  #onCount;
  #filter = {};
  #isShown = false;
  #isOffered = false;
  #request = 0;
  #settlement;

  /** `onCount(number)` is called with how many the worker could not take; `onFilter(filters)` for a filter that is asked for. */
  constructor({ client, onCount, onFilter }) {
    this.#client = client;
    this.#onCount = onCount;
    this.#settlement = new Settlement({ client, onDone: () => this.refresh() });
    byId("dead-filter").addEventListener("submit", (event) => {
      event.preventDefault();
      onFilter(Object.fromEntries(new FormData(byId("dead-filter"))));
    });
    setInterval(() => document.visibilityState === "visible" && this.#count(), COUNT_EVERY_MS);
  }

  /** Whether the caller may see dead letters. */
  setOffered(isOffered) {
    if (isOffered === this.#isOffered) return;
    this.#isOffered = isOffered;
    if (this.#isShown) this.refresh();
    else this.#count();
  }

  show({ of, reason, from }) {
    this.#isShown = true;
    this.#filter = { ...(of ? { of } : {}), ...(reason ? { reason } : {}), ...(from ? { workspace_id: from } : {}) };
    const { elements } = byId("dead-filter");
    [elements.of.value, elements.reason.value, elements.from.value] = [of === "projector" ? of : "", reason, from];
    this.#settlement.setFilter(this.#filter);
    return this.refresh();
  }

  hide() {
    this.#isShown = false;
  }

  /** Load the list again. */
  async refresh() {
    if (!this.#isOffered) return;
    const request = ++this.#request;
    setText(byId("dead-note"), "Reading the dead letters from Kafka…");
    let answer;
    try {
      answer = await this.#client.deadLetters({ ...this.#filter, limit: SHOWN });
    } catch (problem) {
      if (request === this.#request) setText(byId("dead-note"), `The dead letters could not be loaded: ${problem.message}`);
      return;
    }
    if (request !== this.#request) return;
    setText(byId("dead-note"), noteOf(answer, Object.keys(this.#filter).length > 0));
    byId("dead-actions").hidden = !answer.items.length && !byId("dead-actions").querySelector("p").textContent;
    byId("dead-list").replaceChildren(...answer.items.map(row));
    if (!Object.keys(this.#filter).length) this.#onCount(answer.matched);
  }

  async #count() {
    if (!this.#isOffered) return;
    try {
      this.#onCount((await this.#client.deadLetters({ limit: 1 })).matched);
    } catch {
      // The verdict says that Kafka does not answer.
      this.#onCount(null);
    }
  }
}

function row(letter) {
  const { partition, offset, reason, source, workspace_id: workspace, died_at: diedAt } = letter;
  const open = button("", "dead-row", () => showDeadLetter(letter));
  open.append(
    make("span", { class: "dead-reason", dir: "auto" }, visible(reason) || "no reason was given"),
    make("span", { class: "dead-facts" },
      `${partition}:${offset}`, source ? `  ·  ${visible(source.topic)}` : "", workspace ? "  ·  " : "", workspace ? isolated(workspace) : "", "  ·  ",
      make("time", { datetime: diedAt, title: dateAndTime(diedAt) }, ago(diedAt))));
  return make("li", {}, open);
}

function noteOf({ items, matched, truncated }, isFiltered) {
  const older = truncated ? " Older ones were not looked at: the command line reads all." : "";
  if (!items.length) return (isFiltered ? "No dead letter matches." : "There is no dead letter.") + older;
  const shown = items.length < matched ? `, the newest ${count(items.length)} of them below` : "";
  return `${count(matched)} ${matched === 1 ? "dead letter" : "dead letters"}${shown}.${older}`;
}
