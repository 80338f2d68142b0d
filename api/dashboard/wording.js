/** Numbers and moments as people read them. */

const WHOLE = new Intl.NumberFormat("en");
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** Milliseconds by which the server's clock is ahead of this machine's; ages are told by the server's. */
let serverAheadMs = 0;

/** Learn the server's clock from the `Date` header of a fresh answer (whole seconds). */
export function setClock(dateHeader) {
  const server = Date.parse(dateHeader ?? "");
  // A second or two is rounding and travel; only a clock that is really off is worth a correction.
  if (!Number.isNaN(server)) serverAheadMs = Math.abs(server - Date.now()) > 2000 ? server - Date.now() : 0;
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

/** A length of time in its one or two largest units: 0.4 s, 12 s, 3 min, 2 h 5 min, 4 d. */
export function duration(seconds) {
  if (seconds < 0.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 24 * 60) return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
  return `${Math.floor(minutes / 1440)} d`;
}

/** How long ago an RFC 3339 moment was: "now", "12 s", "3 min", "2 h", "5 d". */
export function age(moment) {
  const seconds = (Date.now() + serverAheadMs - Date.parse(moment)) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (seconds < 5) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** An RFC 3339 moment in full, in the reader's own zone. */
export function moment(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime())
    ? ""
    : date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}

/** "3024 × 4032", or nothing while it is not known. */
export function dimensions({ width, height }) {
  return width && height ? `${width} × ${height}` : "";
}

/** What a photo is called here: its file name, else the start of its id. */
export function nameOf(photo) {
  return photo.filename || `photo ${String(photo.id).slice(0, 13)}`;
}
