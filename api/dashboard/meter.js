/** The figures of the stream: counts by status, photos a second with their last two minutes, lag, the oldest pending. */

import { setText } from "./elements.js";
import { count, duration, harmless } from "./wording.js";

export const STATUSES = ["pending", "processing", "ready", "failed"];

/** Seconds that the trace looks back; one sample each. */
const TRACE_SECONDS = 120;
const TRACE_WIDTH = 120;
const TRACE_HEIGHT = 32;

export class Meter {
  #parts;
  #samples = [];
  #oldest = null;

  /** `parts`: `filters` (buttons by `data-status`), `rate`, `trace`, `lag`, `lagReason`, `oldest`, `proportions`. */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Take in a `stats` message. */
  show(stats) {
    const counts = STATUSES.map((status) => number(stats.counts?.[status]) ?? 0);
    const all = counts.reduce((sum, one) => sum + one, 0);
    for (const filter of this.#parts.filters) {
      const at = STATUSES.indexOf(filter.dataset.status);
      setText(filter.querySelector(".figure"), count(at < 0 ? all : counts[at]));
    }
    for (const share of this.#parts.proportions.children) {
      share.style.flexGrow = String(all ? counts[STATUSES.indexOf(share.dataset.status)] / all : 0);
    }
    const lag = number(stats.lag);
    setText(this.#parts.lag, lag === null ? "unknown" : count(lag));
    this.#parts.lag.classList.toggle("is-unknown", lag === null);
    this.#parts.lagReason.hidden = lag !== null;
    setText(this.#parts.lagReason, lag === null ? harmless(stats.lag_unknown_reason) || "no reason was given" : "");
    this.#parts.lag.classList.toggle("is-high", lag !== null && lag > 1000);
    const oldest = number(stats.oldest_pending_seconds);
    this.#oldest = oldest === null ? null : { seconds: oldest, at: performance.now() };
    this.#sample(number(stats.photos_per_second) ?? 0);
    this.tick();
  }

  /** Once a second: the oldest pending photo grows older, and the trace moves on. */
  tick() {
    const seconds = this.#oldest && this.#oldest.seconds + (performance.now() - this.#oldest.at) / 1000;
    setText(this.#parts.oldest, seconds === null ? "none" : duration(seconds));
    this.#parts.oldest.classList.toggle("is-high", seconds !== null && seconds > 60);
    this.#draw();
  }

  /** While the feed is away the figures are old: say so. */
  fade(isOld) {
    this.#parts.panel.classList.toggle("is-old", isOld);
  }

  #sample(rate) {
    setText(this.#parts.rate, rate === 0 ? "0" : rate < 10 ? rate.toFixed(1) : count(Math.round(rate)));
    this.#samples.push({ rate, at: performance.now() });
  }

  #draw() {
    const now = performance.now();
    this.#samples = this.#samples.filter(({ at }) => now - at < TRACE_SECONDS * 1000);
    const highest = Math.max(1, ...this.#samples.map(({ rate }) => rate));
    const points = this.#samples.map(({ rate, at }) => {
      const x = TRACE_WIDTH - ((now - at) / 1000 / TRACE_SECONDS) * TRACE_WIDTH;
      return [x, TRACE_HEIGHT - 1 - (rate / highest) * (TRACE_HEIGHT - 3)];
    });
    const [fill, line] = this.#parts.trace.children;
    if (!points.length) return;
    points.push([TRACE_WIDTH, points.at(-1)[1]]);
    const path = points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
    line.setAttribute("d", `M${path}`);
    fill.setAttribute("d", `M${points[0][0].toFixed(1)} ${TRACE_HEIGHT}L${path}L${TRACE_WIDTH} ${TRACE_HEIGHT}Z`);
  }
}

function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
