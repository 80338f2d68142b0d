/** Exponential backoff with jitter, for the feed and for uploads. */

const FIRST_MS = 500;
const MAX_MS = 15_000;

/** Milliseconds to wait after `failures` failed attempts in a row. The jitter keeps pages from reconnecting all at once. */
export function backoffMs(failures) {
  return Math.min(MAX_MS, FIRST_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}
