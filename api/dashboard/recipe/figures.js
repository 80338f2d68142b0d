/** Compares figures of two recipes in words. */

/** "−31 %", "+12 %", "the same"; of nothing there is no share. */
export function change(before, after) {
  if (before === after) return "the same";
  if (!before) return "new";
  const percent = Math.round((after / before - 1) * 100);
  if (!percent) return after < before ? "a little less" : "a little more";
  return `${percent < 0 ? "−" : "+"}${Math.abs(percent)} %`;
}

/** "31 % fewer bytes", "2.5 times the bytes". */
export function bytesInWords(before, after) {
  return inWords(before, after, { less: "fewer bytes", more: "more bytes", same: "As many bytes", noun: "bytes" });
}

/** "12 % slower", "3.4 times the time". */
export function timeInWords(before, after) {
  return inWords(before, after, { less: "faster", more: "slower", same: "as fast", noun: "time" });
}

function inWords(before, after, { less, more, same, noun }) {
  if (before && after >= 2 * before) return `${(after / before).toFixed(1)} times the ${noun}`;
  const percent = before ? Math.round(Math.abs(after / before - 1) * 100) : 0;
  return percent ? `${percent} % ${after < before ? less : more}` : same;
}

/** "86 ms", "1.25 s". */
export function milliseconds(seconds) {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(2)} s`;
}

/** "about 40 s", "about 12 min", "about 3.5 h", "about 4 d": a length of time that is estimated. */
export function about(seconds) {
  const [value, unit] = seconds < 90 ? [seconds, "s"] : seconds < 5400 ? [seconds / 60, "min"] : seconds < 172800 ? [seconds / 3600, "h"] : [seconds / 86400, "d"];
  return seconds < 1 ? "less than a second" : `about ${value < 9.95 ? Number(value.toFixed(1)) : Math.round(value)} ${unit}`;
}
