/** In a burst, one tile instead of a card for each photo that waits: how many, and for about how long. */

import { STATUSES } from "../page/address.js";
import { byId, setText } from "../page/elements.js";
import { count, finite } from "../page/format.js";

/** Up to so many photos that wait are shown as cards. */
const MAX_CARDS = 12;
/** And again when so few are left; in between nothing changes, so that the list does not load again and again. */
const FEW = 6;

/** The statuses that have cards while what waits is in the tile, as the list's `status` parameter. */
export const ALL_BUT_PENDING = STATUSES.filter((status) => status !== "pending").join(",");

export class WaitingTile {
  #element = byId("waiting");
  #isNeeded = false;

  /** `onOpen()` is called when the photos that wait should be shown. */
  constructor(onOpen) {
    this.#element.addEventListener("click", onOpen);
  }

  /** Whether too many photos wait to show a card of each. */
  get isNeeded() {
    return this.#isNeeded;
  }

  /** Take the numbers of a `stats` message. */
  setStats({ counts, photos_per_second: rate }) {
    const pending = finite(counts?.pending) ?? 0;
    if (pending > MAX_CARDS) this.#isNeeded = true;
    else if (pending <= FEW) this.#isNeeded = false;
    setText(byId("waiting-text"), waitingText(pending, finite(rate) ?? 0));
  }

  show(isShown) {
    this.#element.hidden = !isShown;
  }
}

/** "127 waiting, about 30 s": `pending` photos at `rate` photos a second. */
export function waitingText(pending, rate) {
  if (!pending) return "0 waiting";
  return `${count(pending)} waiting, ${rate > 0 ? roughDuration(pending / rate) : "for how long is not known"}`;
}

/** No more exact than the rate of a few seconds can tell. */
function roughDuration(seconds) {
  if (seconds < 10) return "under 10 s";
  if (seconds < 55) return `about ${Math.round(seconds / 10) * 10} s`;
  const minutes = seconds / 60;
  if (minutes < 9.5) return `about ${Math.round(minutes)} min`;
  if (minutes < 57.5) return `about ${Math.round(minutes / 5) * 5} min`;
  return minutes < 23.5 * 60 ? `about ${Math.round(minutes / 60)} h` : "a day or more";
}
