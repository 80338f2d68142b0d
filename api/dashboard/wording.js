/** Numbers, moments, names and failures as people read them. */

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

/** How long something has been so: "a moment", "12 s", "3 min". */
export function lasting(moment) {
  const text = age(moment);
  return text === "now" ? "a moment" : text;
}

/**
 * Characters that a name may hold to deceive: controls (but for plain white space), line separators, and what turns the direction of text.
 * The plain marks (U+200E, U+200F, U+061C), which honest names in Hebrew or Arabic hold, turn nothing.
 */
const CONTROLS = /(?![\t\n\r])[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** A foreign text as it may be shown: its control characters by their numbers. The element must isolate its direction. */
export function harmless(text) {
  return String(text ?? "").replace(CONTROLS, (one) => `[U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
}

/** What a photo is called here: its file name, else the start of its id. */
export function nameOf(photo) {
  return harmless(photo.filename) || `photo ${String(photo.id).slice(0, 13)}`;
}

/** A name within a sentence that is only read out or is a title: what follows it keeps its own direction. */
export function quoted(name) {
  return `\u2068${name}\u2069`;
}

/**
 * Each code of a failure: what it means for a person, and whether the same file may well pass another time.
 * Those that cannot are helped by another file, or by another limit of the server.
 */
export const FAILURES = {
  original_missing: {
    canRetry: true,
    advice: "The file was not in storage. If it has been put there since, try again; else upload the photo once more.",
  },
  original_too_large: {
    canRetry: false,
    advice: "Upload a smaller file. Where the limit has been raised, `thumbstream rerender --code original_too_large` tries again.",
  },
  too_many_pixels: {
    canRetry: false,
    advice: "Upload it with fewer pixels. Where the limit has been raised, `thumbstream rerender --code too_many_pixels` tries again.",
  },
  unsupported_format: {
    canRetry: false,
    advice: "This is no image of a kind that is accepted. Save it as JPEG, PNG or WebP and upload that.",
  },
  unreadable: {
    canRetry: false,
    advice: "The file is damaged or was cut short. Export or copy it anew from where it came from, and upload that.",
  },
  render_timeout: {
    canRetry: true,
    advice: "It took too long. Try again when the machine has less to do; if it fails again, upload a simpler or smaller file.",
  },
  render_crashed: {
    canRetry: true,
    advice: "Rendering it ended the process. Try again; if it fails again, export the photo anew and upload that.",
  },
  checksum_mismatch: {
    canRetry: false,
    advice: "The stored bytes are not those that were announced: something changed them on the way. Upload the photo once more.",
  },
  storage_unavailable: {
    canRetry: true,
    advice: "Storage was away for too long. Try again when it answers.",
  },
  internal: {
    canRetry: true,
    advice: "This is a fault of the server, not of the photo. Try again; if it fails again, its operator finds the cause in the worker's log.",
  },
};

/** Code, message, advice and `canRetry` of a failed photo. A code that is not known here may be tried again. */
export function failureOf({ error }) {
  const code = harmless(error?.code) || "failed";
  const known = Object.hasOwn(FAILURES, code) ? FAILURES[code] : { canRetry: true, advice: "Try again; if it fails again, upload another file." };
  return { code, message: harmless(error?.message) || "No reason was given.", ...known };
}
