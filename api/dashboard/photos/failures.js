/** What the error codes of failed photos mean, and what to do about each. */

import { visible } from "../page/format.js";

/** By code: what to do, and whether another attempt with the same file may succeed. */
export const FAILURES = {
  original_missing: {
    canRetry: true,
    advice: "The file was not in storage. If it is there now, try again; otherwise upload the photo again.",
  },
  original_too_large: {
    canRetry: false,
    advice: "Upload a smaller file. If the limit has been raised, run `thumbstream rerender --code original_too_large`.",
  },
  too_many_pixels: {
    canRetry: false,
    advice: "Upload it with fewer pixels. If the limit has been raised, run `thumbstream rerender --code too_many_pixels`.",
  },
  unsupported_format: {
    canRetry: false,
    advice: "This format is not supported. Save it as JPEG, PNG or WebP and upload that.",
  },
  unreadable: {
    canRetry: false,
    advice: "The file is damaged or incomplete. Export or copy it again from its source, and upload that.",
  },
  render_timeout: {
    canRetry: true,
    advice: "Rendering took too long. Try again when the machine is less busy; if it fails again, upload a simpler or smaller file.",
  },
  render_crashed: {
    canRetry: true,
    advice: "The render process crashed. Try again; if it fails again, export the photo again and upload that.",
  },
  checksum_mismatch: {
    canRetry: false,
    advice: "The stored file does not match its checksum: it was changed on the way. Upload the photo again.",
  },
  storage_unavailable: {
    canRetry: true,
    advice: "Storage was unavailable for too long. Try again when it works.",
  },
  internal: {
    canRetry: true,
    advice: "This is a bug or a fault of the server, not of the photo. Try again; if it fails again, the worker's log has the cause.",
  },
};

/** Code, message, advice and `canRetry` of a failed photo. A code that this page does not know may be retried. */
export function failureOf({ error }) {
  const code = visible(error?.code) || "failed";
  const known = Object.hasOwn(FAILURES, code) ? FAILURES[code] : { canRetry: true, advice: "Try again; if it fails again, upload another file." };
  return { code, message: visible(error?.message) || "No reason was given.", ...known };
}
