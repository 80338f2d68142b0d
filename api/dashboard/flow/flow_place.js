/** The place of the flow: how many photos are where, the newest results, and figures over time. */

import { addressOf } from "../page/address.js";
import { button, byId, make, setText } from "../page/elements.js";
import { age, count, duration, isolatedName, nameOf } from "../page/format.js";
import { thumbnailsBySize } from "../photos/card.js";
import { failureOf } from "../photos/failures.js";
import { noteOf } from "../workers/workers_place.js";
import { Charts } from "./charts.js";
import { RenderSlots } from "./render_slots.js";
import { SPANS } from "./time_axis.js";
import { WaitingRetries } from "./waiting_retries.js";

/** How often the figures are loaded while the place is shown, by span: a new slot begins no sooner, or matters little. */
const RELOAD_MS = { "15m": 10_000, "6h": 30_000, "7d": 120_000 };
/** With the ticks: every two seconds, as the heartbeats of workers are sent. */
const RELOAD_SLOTS_MS = 1500;
const DEFAULT_SPAN = "15m";
const RESULTS = 12;

export class FlowPlace {
  #workspace;
  #client;
  #store;
  #onOpen;
  #charts = new Charts();
  #slots;
  #retries;
  #slotsLoadedAt = Number.NEGATIVE_INFINITY;
  #stages = Object.fromEntries([...byId("flow-stages").children].map((stage) => [stage.dataset.status, stage]));
  #span = DEFAULT_SPAN;
  #isShown = false;
  #loadAt = 0;
  #resultsDrawn = "";
  #isChanged = true;

  /** `store`: the photos that the page has loaded; `onOpen(photo)` is called for one that is clicked. */
  constructor(workspace, { client, store, onOpen }) {
    this.#workspace = workspace;
    this.#client = client;
    this.#store = store;
    this.#onOpen = onOpen;
    this.#slots = new RenderSlots(byId("flow-slots"), { workspace, onOpen });
    this.#retries = new WaitingRetries({ workspace, onOpen });
    for (const [status, stage] of Object.entries(this.#stages)) {
      const place = status === "failed" ? { place: "failures" } : { place: "photos", status };
      const link = stage.querySelector("a");
      link.href = addressOf({ workspace, ...place });
      link.dataset.place = place.place;
    }
  }

  show({ span }) {
    this.#span = span in SPANS ? span : DEFAULT_SPAN;
    this.#isShown = true;
    this.#isChanged = true;
    this.#drawSpans();
    this.#drawResults();
    this.#loadSlots();
    return this.refresh();
  }

  hide() {
    this.#isShown = false;
  }

  /** Load the figures again. */
  async refresh() {
    this.#loadAt = performance.now() + RELOAD_MS[this.#span];
    const span = this.#span;
    try {
      const figures = await this.#client.figures(span);
      if (span !== this.#span) return;
      this.#charts.draw(figures);
      this.#drawRetrying(figures.retrying);
      setText(byId("flow-note"), "Counts, rate and times are of this workspace; lag, retries and marks are of the whole pipeline.");
    } catch (problem) {
      if (span === this.#span) setText(byId("flow-note"), `The figures could not be loaded: ${problem.message}`);
    }
  }

  /** A `stats` message. */
  setStats({ counts, oldest_pending_seconds: oldest, photos_per_second: rate }) {
    for (const [status, stage] of Object.entries(this.#stages)) setText(stage.querySelector("b"), count(counts?.[status] ?? 0));
    this.#note("pending", typeof oldest === "number" ? `the oldest for ${duration(oldest)}` : "");
    this.#note("ready", rate > 0 ? `${rate} a second` : "");
  }

  /** Photos have changed. */
  notePhotos() {
    this.#isChanged = true;
  }

  /** Once a second: draw new results and load new figures. */
  tick() {
    if (!this.#isShown) return;
    this.#drawResults();
    this.#slots.tick();
    this.#retries.tick();
    if (performance.now() - this.#slotsLoadedAt >= RELOAD_SLOTS_MS) this.#loadSlots();
    if (performance.now() > this.#loadAt) this.refresh();
  }

  async #loadSlots() {
    this.#slotsLoadedAt = Number.POSITIVE_INFINITY; // none while this one is under way
    try {
      const { items, unknown_reason: unknownReason } = await this.#client.workspaceWorkers();
      this.#slots.show(items);
      this.#retries.show(items);
      setText(byId("flow-slots-note"), noteOf(items, unknownReason));
    } catch (problem) {
      setText(byId("flow-slots-note"), `The workers could not be loaded: ${problem.message}`);
    } finally {
      this.#slotsLoadedAt = performance.now();
    }
  }

  #note(status, text) {
    setText(this.#stages[status].querySelector(".stage-note"), text);
  }

  #drawRetrying(retrying) {
    this.#note("processing", retrying ? `${count(retrying)} ${retrying === 1 ? "waits" : "wait"} for another attempt, in all workspaces` : "");
  }

  #drawSpans() {
    const choices = Object.entries(SPANS).map(([span, name]) =>
      make("a", {
        class: "choice",
        href: addressOf({ workspace: this.#workspace, place: "flow", span: span === DEFAULT_SPAN ? "" : span }),
        "data-place": "flow",
        "aria-current": span === this.#span ? "true" : null,
      }, name));
    byId("flow-spans").replaceChildren(...choices);
  }

  /** The newest results; they rest under the pointer, lest another one is clicked than was meant. */
  #drawResults() {
    const root = byId("flow-results");
    if (!this.#isChanged || root.matches(":hover")) return;
    this.#isChanged = false;
    const done = this.#store.newestFirst().map(({ photo }) => photo).filter(({ thumbnail_status: status }) => status === "ready" || status === "failed");
    const shown = done.sort((left, right) => (doneAt(left) < doneAt(right) ? 1 : -1)).slice(0, RESULTS);
    byId("flow-no-results").hidden = shown.length > 0;
    const state = JSON.stringify(shown.map(({ id, updated_at: at }) => [id, at]));
    if (state === this.#resultsDrawn) return;
    this.#resultsDrawn = state;
    const focused = root.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    root.replaceChildren(...shown.map((photo) => make("li", { "data-status": photo.thumbnail_status }, this.#result(photo))));
    if (focused) root.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  }

  #result(photo) {
    const name = nameOf(photo);
    const status = photo.thumbnail_status;
    const element = button("", "result", () => this.#onOpen(photo), { "data-id": photo.id, title: name, "aria-label": `Open ${isolatedName(name)}, ${status}` });
    element.append(
      make("span", { class: "result-picture" }, pictureOf(photo)),
      make("span", { class: "result-name", dir: "auto" }, name),
      make("span", { class: "result-facts" }, make("i", { class: "status-icon", "aria-hidden": "true" }), factOf(photo)));
    return element;
  }
}

function doneAt({ status_changed_at: since, updated_at: updated }) {
  return since ?? updated;
}

function pictureOf(photo) {
  const [smallest] = thumbnailsBySize(photo);
  if (smallest) return make("img", { src: smallest.url, alt: "", decoding: "async", draggable: "false" });
  return photo.thumbnail_status === "failed" ? make("code", {}, failureOf(photo).code) : "";
}

/** How long it took from its upload, or why it failed. */
function factOf({ thumbnail_status: status, status_changed_at: since, created_at: created }) {
  if (status === "failed") return "failed";
  const seconds = (Date.parse(since) - Date.parse(created)) / 1000;
  return seconds >= 0 && seconds < 60 ? `in ${duration(seconds)}` : age(since ?? created);
}
