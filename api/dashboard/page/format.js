/** Formats numbers, times and names as text. */

const WHOLE = new Intl.NumberFormat("en");
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** Milliseconds by which the server's clock is ahead of this machine's. */
let serverAheadMs = 0;

/** Set the server's clock from the `Date` header of a response that has just arrived. */
export function setClock(dateHeader) {
  const server = Date.parse(dateHeader ?? "");
  // The header has whole seconds and takes time to arrive, so ignore differences of up to 2 s.
  if (!Number.isNaN(server)) serverAheadMs = Math.abs(server - Date.now()) > 2000 ? server - Date.now() : 0;
}

/** A number as it came in a message; `null`: there is none. */
export function finite(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** 1,234; from a million on 1.2M. */
export function count(number) {
  return number >= 1e6 ? COMPACT.format(number) : WHOLE.format(number);
}

/** "1 photo", "2 photos". */
export function photos(number) {
  return `${count(number)} ${number === 1 ? "photo" : "photos"}`;
}

/** Bytes in decimal units: 512 B, 3.1 kB, 4.2 MB. */
export function fileSize(bytes) {
  if (bytes == null) return "";
  let value = bytes;
  let unit = 0;
  const units = ["B", "kB", "MB", "GB", "TB"];
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "3024 × 4032", or nothing while unknown. */
export function dimensions({ width, height }) {
  return width && height ? `${width} × ${height}` : "";
}

/** A duration, rounded down to its largest unit: 0.4 s, 12 s, 3 min, 2 h, 4 d. With `withMinutes`: 2 h 5 min. */
export function duration(seconds, { withMinutes = false } = {}) {
  if (seconds < 1) return `${(Math.floor(Math.max(0, seconds) * 10) / 10).toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  const minutes = Math.floor((seconds % 3600) / 60);
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h${withMinutes && minutes ? ` ${minutes} min` : ""}`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** Seconds since an RFC 3339 timestamp, by the server's clock. */
export function secondsSince(timestamp) {
  return (Date.now() + serverAheadMs - Date.parse(timestamp)) / 1000;
}

/** The time since an RFC 3339 timestamp: "now" in the first 5 s, then "12 s", "3 min". */
export function age(timestamp) {
  const seconds = secondsSince(timestamp);
  if (Number.isNaN(seconds)) return "";
  return seconds < 5 ? "now" : duration(seconds);
}

/** The same within a sentence: "just now", "3 min ago". */
export function ago(timestamp) {
  const text = age(timestamp);
  return text === "now" ? "just now" : `${text} ago`;
}

/** An RFC 3339 timestamp in the reader's time zone, with how long ago that was. */
export function dateAndAge(timestamp) {
  return timestamp ? `${dateAndTime(timestamp)} (${ago(timestamp)})` : "";
}

/** An RFC 3339 timestamp in the reader's time zone. */
export function dateAndTime(timestamp) {
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}

/**
 * Invisible characters by which a name can mislead: control characters (except plain white space), line separators, and
 * directional overrides, embeddings and isolates. The plain marks U+200E, U+200F and U+061C are common in Hebrew and
 * Arabic names and do not reorder text, so they stay.
 */
const CONTROLS = /(?![\t\n\r])[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** `text` with its control characters shown by their code points. The element has to isolate its direction. */
export function visible(text) {
  return String(text ?? "").replace(CONTROLS, (one) => `[U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
}

/** The name of a photo on this page: its file name, or the start of its id. */
export function nameOf(photo) {
  return visible(photo.filename) || `photo ${String(photo.id).slice(0, 13)}`;
}

/** A name for use in a plain-text sentence, such as a title: isolated, so that it does not reorder what follows. */
export function isolatedName(name) {
  return `\u2068${name}\u2069`;
}
