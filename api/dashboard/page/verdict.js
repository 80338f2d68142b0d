/** The verdict: one sentence on whether the pipeline is well, on the page, in the tab's title and in its icon. */

import { byId, setText } from "./elements.js";
import { count, duration, isolatedName, photos, secondsSince, visible } from "./format.js";

/** The components, the most harmful first, and what is wrong while one does not work. `since`: "for 46 s". */
const FAILING = {
  database: (since) => `The database has not answered ${since}. Uploads are refused.`,
  storage: (since) => `Storage has not worked ${since}. Uploads are refused, and processing waits.`,
  broker: (since, waiting) => `Kafka has not answered ${since}. Uploads are safe; ${waiting}.`,
  worker: (since, waiting) => `No worker has been running ${since}. Uploads are safe; ${waiting}.`,
  projector: (since) => `Results have not been shown ${since}: the projector does not work. No photo is lost.`,
};

/** From this age on the oldest pending photo is late. */
const LATE_SECONDS = 60;

export class Verdict {
  #workspace;
  #connection = { state: "connecting", since: Date.now() };
  #parts = {};
  #stats = null;
  #place = "";

  constructor(workspace) {
    this.#workspace = workspace;
    this.tick();
  }

  /** The state of the feed's connection, as `Feed` reports it. */
  setConnection(state, { silentSince } = {}) {
    const isSame = state === this.#connection.state;
    this.#connection = { state, since: silentSince ?? (isSame ? this.#connection.since : Date.now()) };
    if (isSame) return;
    // What was known is out of date; the server says it anew when it is back.
    if (state !== "live") this.#parts = {};
    this.tick();
  }

  /** The parts of a `health` message. */
  setParts(parts) {
    this.#parts = parts ?? {};
    this.tick();
  }

  /** A `stats` message. */
  setStats(stats) {
    this.#stats = { ...stats, at: Date.now() };
    this.tick();
  }

  /** The name of the place that is shown, for the tab's title; empty for the photos. */
  setPlace(name) {
    this.#place = name;
    this.tick();
  }

  /** Draw; once a second, since the sentence tells how long something lasts. */
  tick() {
    const { tone, sentence, title: prefix = "" } = this.#verdict();
    byId("verdict").dataset.tone = tone;
    setText(byId("verdict"), sentence);
    const name = this.#workspace === "default" ? "Thumbstream" : `${isolatedName(visible(this.#workspace))} · Thumbstream`;
    const title = prefix + (this.#place ? `${this.#place} · ` : "") + name;
    if (document.title !== title) document.title = title;
    const icon = byId("icon");
    const file = tone === "well" ? "logo.svg" : `logo_${tone}.svg`;
    if (!icon.href.endsWith(`/${file}`)) icon.href = icon.href.replace(/[^/]*$/, file);
  }

  #verdict() {
    const { state, since } = this.#connection;
    if (state === "signed out") return { tone: "unknown", sentence: "You are signed out." };
    if (state !== "live") return unconnected((Date.now() - since) / 1000);
    const failing = Object.keys(FAILING).filter((key) => this.#parts[key]?.ok === false);
    if (failing.length) return { tone: "failing", title: "Not working: ", sentence: this.#failingSentence(failing) };
    const unknown = Object.keys(FAILING).filter((key) => this.#parts[key]?.ok !== true);
    if (unknown.length || !this.#stats) return { tone: "unknown", sentence: "Connected; the components are being checked." };
    return this.#working();
  }

  #failingSentence([first, ...others]) {
    const since = `for ${duration(secondsSince(this.#parts[first].since))}`;
    const also = others.length ? ` Also not working: ${others.map((key) => (key === "broker" ? "Kafka" : key)).join(", ")}.` : "";
    return FAILING[first](since, waitingText(this.#waiting)) + also;
  }

  #working() {
    const oldest = this.#stats.oldest_pending_seconds;
    const seconds = typeof oldest === "number" ? oldest + (Date.now() - this.#stats.at) / 1000 : 0;
    if (seconds > LATE_SECONDS) {
      const sentence = `All works, but late: ${photos(this.#waiting)} waiting, the oldest for ${duration(seconds)}.`;
      return { tone: "late", title: "Late: ", sentence };
    }
    const rate = this.#stats.photos_per_second;
    if (rate > 0) {
      const shown = rate < 10 ? rate.toFixed(1) : count(Math.round(rate));
      return { tone: "well", sentence: `All well: ${shown} photos a second; ${waitingText(this.#waiting)}.` };
    }
    return { tone: "well", sentence: `All well; ${waitingText(this.#waiting)}.` };
  }

  get #waiting() {
    const { pending = 0, processing = 0 } = this.#stats?.counts ?? {};
    return pending + processing;
  }
}

function unconnected(seconds) {
  if (seconds < 2) return { tone: "unknown", sentence: "Connecting." };
  const sentence = `The server has not answered for ${duration(seconds)}. What this page shows is out of date.`;
  return { tone: "unknown", title: "No connection: ", sentence };
}

function waitingText(number) {
  return number ? `${count(number)} ${number === 1 ? "waits" : "wait"}` : "no photo waits";
}
