/** The time axis that all charts share: where a moment lies, how it is written, which moments are labelled. */

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const TIME_WITH_SECONDS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric" });
const DAY_AND_TIME = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** By span: how far apart the labels are, in seconds of local time, and how they and single moments are written. */
const FORMATS = {
  "15m": { every: 300, label: TIME, moment: TIME_WITH_SECONDS },
  "6h": { every: 3600, label: TIME, moment: TIME },
  "7d": { every: 86400, label: DAY, moment: DAY_AND_TIME },
};

/** The spans that charts show, by their names in the API and the address. */
export const SPANS = { "15m": "15 min", "6h": "6 hours", "7d": "7 days" };

export class TimeAxis {
  #format;
  #times;
  #step;

  /** `times`: when each slot began, RFC 3339. */
  constructor(span, times, stepSeconds) {
    this.#format = FORMATS[span];
    this.#times = times.map((time) => Date.parse(time));
    this.#step = stepSeconds;
  }

  get slots() {
    return this.#times.length;
  }

  /** Where a moment lies, from 0 to 1, also of one before or behind the axis. */
  positionOf(milliseconds) {
    const first = this.#times[0];
    return Math.min(1, Math.max(0, (milliseconds - first) / (this.#times.at(-1) - first)));
  }

  /** The slot at a position from 0 to 1. */
  slotAt(position) {
    return Math.min(this.slots - 1, Math.max(0, Math.round(position * (this.slots - 1))));
  }

  /** The name of a slot. */
  nameOf(slot) {
    return this.#format.moment.format(this.#times[slot]);
  }

  /** A moment as it is written in a list. */
  momentOf(milliseconds) {
    return this.#format.moment.format(milliseconds);
  }

  /** Labels at round local times: `{position, text}`. */
  labels() {
    return this.#times.flatMap((time, slot) => {
      const at = new Date(time);
      const secondOfDay = at.getHours() * 3600 + at.getMinutes() * 60 + at.getSeconds();
      if (secondOfDay % this.#format.every >= this.#step) return [];
      return [{ position: slot / (this.slots - 1), text: this.#format.label.format(time) }];
    });
  }
}
