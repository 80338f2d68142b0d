/** The way of one photo through the pipeline, as the server keeps it: loaded again whenever the photo has changed. */

import { isolated, make } from "../page/elements.js";
import { count, dateAndTime, duration } from "../page/format.js";

/** A photo that waits moves up without any event of its own. */
const REFRESH_MS = 5000;

export class PhotoWay {
  #client;
  #element = make("div", { class: "way" });
  #id = null;
  #loading = null;
  #timer = 0;

  constructor(client) {
    this.#client = client;
  }

  get element() {
    return this.#element;
  }

  /** Show the way of this photo as it is now; what is shown of another one goes at once. */
  show(id) {
    this.hide(id);
    this.#id = id;
    this.#load(id);
  }

  /** Load nothing more; clear what is shown, unless it is the way of the photo `keptId`. */
  hide(keptId = null) {
    this.#loading?.abort();
    clearTimeout(this.#timer);
    if (this.#id !== keptId || keptId === null) this.#element.replaceChildren(make("p", { class: "muted" }, "Loading…"));
    this.#id = null;
  }

  async #load(id) {
    const loading = (this.#loading = new AbortController());
    try {
      const told = await this.#client.timeline(id, { signal: loading.signal });
      if (loading.signal.aborted) return;
      this.#element.replaceChildren(...wayOf(told));
      const isUnfinished = ["pending", "processing"].includes(told.thumbnail_status);
      if (isUnfinished) this.#timer = setTimeout(() => this.#load(id), REFRESH_MS);
    } catch (problem) {
      if (loading.signal.aborted) return;
      this.#element.replaceChildren(make("p", { class: "muted" }, `Could not be loaded: ${problem.message}`));
      if (problem.isTemporary) this.#timer = setTimeout(() => this.#load(id), REFRESH_MS);
    }
  }
}

function wayOf(told) {
  const older = told.has_older && make("p", { class: "muted" }, "Earlier steps are not kept.");
  const parts = told.uploads.flatMap((upload, at) => [
    told.uploads.length > 1 && make("h4", {}, at || told.has_older ? "Rendered again" : "First time"),
    make("ol", {}, ...stepsOf(upload, at === 0 && !told.has_older).map(itemOf)),
  ]);
  const place = told.thumbnail_status === "pending" && make("p", { class: "place" }, placeOf(told));
  return [older, ...parts, place].filter(Boolean);
}

/** The steps of one upload, oldest first: `{at, text, details}`. */
function stepsOf(upload, isFirst) {
  const published = upload.published.map((record, at) => ({
    at: record.at,
    text: at ? "Published again" : "Published to Kafka",
    details: [placeIn(record)],
  }));
  const attempts = upload.attempts.map((attempt) => ({
    // One that ended before it had a slot has no start; it comes right before the result.
    at: attempt.started_at ?? upload.result?.at,
    text: `Attempt ${attempt.attempt}: ${OUTCOMES[attempt.outcome ?? "none"] ?? attempt.outcome}`,
    details: [
      attempt.code && ["because of ", make("code", {}, isolated(attempt.code))],
      attempt.worker && ["worker ", isolated(attempt.worker)],
      attempt.waited_seconds != null && `waited ${exactly(attempt.waited_seconds)}`,
      attempt.rendered_seconds != null && `rendered for ${exactly(attempt.rendered_seconds)}`,
      !attempt.started_at && "ended before it rendered",
    ],
  }));
  const { result } = upload;
  const ends = result
    ? [
        {
          at: result.at,
          text: result.outcome === "ready" ? "Ready" : "Failed",
          details: [
            upload.stored_at && `${duration(secondsBetween(upload.stored_at, result.at))} after ${isFirst ? "it was stored" : "the request"}`,
            `in the database ${exactly(secondsBetween(result.at, result.projected_at))} later`,
          ],
        },
      ]
    : [];
  const stored = upload.stored_at ? [{ at: upload.stored_at, text: isFirst ? "Stored" : "Requested", details: [] }] : [];
  const steps = [...stored, ...published, ...attempts, ...ends];
  return steps.map((step, at) => ({ ...step, order: at })).sort((one, other) => Date.parse(one.at) - Date.parse(other.at) || one.order - other.order);
}

const OUTCOMES = {
  ready: "rendered",
  failed: "failed for good",
  retried: "failed, to be tried again",
  interrupted: "interrupted, its worker ended",
  none: "began, its end is not known yet",
};

function itemOf({ at, text, details }) {
  const known = details.filter(Boolean).flatMap((detail, index) => [index ? ", " : "", detail].flat());
  return make("li", {}, make("time", { datetime: at, title: dateAndTime(at) }, timeOf(at)), make("div", {}, make("b", {}, text), known.length > 0 && make("span", {}, ...known)));
}

function placeIn({ topic, partition, offset }) {
  return partition == null ? String(topic) : `${topic}, partition ${partition}, offset ${offset}`;
}

/** Where a photo that waits stands, and for how long, as far as that is known. */
function placeOf({ position, expected_seconds: expected, unknown_reason: reason }) {
  if (position == null) return `Waiting. Its place in the queue is not known: ${reason}.`;
  const place = position === 1 ? "Waiting: next in the queue of its partition" : `Waiting: at most ${count(position)} in the queue of its partition, this one included`;
  if (!expected) return `${place}. How long that takes is not known: ${reason}.`;
  return `${place}, about ${range(expected)}.`;
}

/** "20 to 40 s", "40 s to 2 min", "up to 5 s". */
function range({ min, max }) {
  if (min < 1) return `up to ${duration(max)}`;
  const [from, to] = [duration(min), duration(max)];
  if (from === to) return to;
  const [number, unit] = from.split(" ");
  return `${to.endsWith(` ${unit}`) ? number : from} to ${to}`;
}

/** Seconds below one to the millisecond: a render often takes less than a tenth. */
function exactly(seconds) {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : duration(seconds);
}

function secondsBetween(earlier, later) {
  return Math.max(0, (Date.parse(later) - Date.parse(earlier)) / 1000);
}

/** The time of day; with the date if that is another day. */
function timeOf(timestamp) {
  const date = new Date(timestamp);
  return date.toDateString() === new Date().toDateString() ? date.toLocaleTimeString("en-GB") : dateAndTime(timestamp);
}
