/** The statistics: photos by status, photos per second over the last two minutes, consumer lag, oldest pending photo. */

import { STATUSES } from "./address.js";
import { byId, setText } from "./elements.js";
import { count, duration, finite, visible } from "./format.js";

/** The reason that the server gives until the brokers have answered for the first time, some seconds after the page opens. */
export const LAG_TO_COME = "not asked yet";
const SPARKLINE_SECONDS = 120;
/** In units of the SVG's viewBox. */
const SPARKLINE_WIDTH = 120;
const SPARKLINE_HEIGHT = 32;

export class StatsPanel {
  #filters;
  #samples = [];
  #oldest = null;

  /** `filters`: the buttons that show the counts, by `data-status`. */
  constructor(filters) {
    this.#filters = filters;
  }

  /** Show a `stats` message. */
  show(stats) {
    const counts = STATUSES.map((status) => finite(stats.counts?.[status]) ?? 0);
    const total = counts.reduce((sum, one) => sum + one, 0);
    for (const filter of this.#filters) {
      const at = STATUSES.indexOf(filter.dataset.status);
      setText(filter.querySelector(".value"), count(at < 0 ? total : counts[at]));
    }
    for (const share of byId("status-bar").children) {
      share.style.flexGrow = String(total ? counts[STATUSES.indexOf(share.dataset.status)] / total : 0);
    }
    this.#showLag(finite(stats.lag), visible(stats.lag_unknown_reason));
    const oldest = finite(stats.oldest_pending_seconds);
    this.#oldest = oldest === null ? null : { seconds: oldest, at: performance.now() };
    const rate = finite(stats.photos_per_second) ?? 0;
    setText(byId("rate"), rate === 0 ? "0" : rate < 10 ? rate.toFixed(1) : count(Math.round(rate)));
    this.#samples.push({ rate, at: performance.now() });
    this.tick();
  }

  /** Once a second: update the age of the oldest pending photo, and move the sparkline. */
  tick() {
    const seconds = this.#oldest && this.#oldest.seconds + (performance.now() - this.#oldest.at) / 1000;
    setText(byId("oldest"), seconds === null ? "none" : duration(seconds, { withMinutes: true }));
    byId("oldest").classList.toggle("is-high", seconds !== null && seconds > 60);
    this.#drawSparkline();
  }

  /** Whether the numbers are out of date because the connection or the database is down. */
  setStale(isStale) {
    byId("stats").classList.toggle("is-stale", isStale);
  }

  #showLag(lag, reason) {
    const isUnknown = lag === null && reason !== LAG_TO_COME;
    const instead = isUnknown ? "unknown" : "–";
    setText(byId("lag"), lag === null ? instead : count(lag));
    byId("lag").classList.toggle("is-unknown", isUnknown);
    byId("lag").classList.toggle("is-high", lag > 1000);
    byId("lag-reason").hidden = !isUnknown;
    setText(byId("lag-reason"), isUnknown ? reason || "no reason was given" : "");
  }

  #drawSparkline() {
    const now = performance.now();
    this.#samples = this.#samples.filter(({ at }) => now - at < SPARKLINE_SECONDS * 1000);
    if (!this.#samples.length) return;
    const highest = Math.max(1, ...this.#samples.map(({ rate }) => rate));
    const points = this.#samples.map(({ rate, at }) => {
      const x = SPARKLINE_WIDTH - ((now - at) / 1000 / SPARKLINE_SECONDS) * SPARKLINE_WIDTH;
      return [x, SPARKLINE_HEIGHT - 1 - (rate / highest) * (SPARKLINE_HEIGHT - 3)];
    });
    points.push([SPARKLINE_WIDTH, points.at(-1)[1]]);
    const path = points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
    const [fill, line] = byId("sparkline").children;
    line.setAttribute("d", `M${path}`);
    fill.setAttribute("d", `M${points[0][0].toFixed(1)} ${SPARKLINE_HEIGHT}L${path}L${SPARKLINE_WIDTH} ${SPARKLINE_HEIGHT}Z`);
  }
}
