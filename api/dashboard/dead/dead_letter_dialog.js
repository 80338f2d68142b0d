/** The dialog that shows one dead letter: its bytes and its JSON side by side, and why it could not be processed. */

import { button, byId, isolated, make } from "../page/elements.js";
import { count, dateAndAge, visible } from "../page/format.js";

const BYTES_PER_ROW = 16;

/** What a record on each topic has to have at least. */
const EXPECTED = {
  "photos.uploaded": { photo_id: "0198f0c2-6f3e-7b1a-9c55-3d2f8e4a1b07", workspace_id: "acme", storage_key: "imports/cat.jpg" },
  "photos.deleted": { photo_id: "0198f0c2-6f3e-7b1a-9c55-3d2f8e4a1b07", workspace_id: "acme" },
};

/** Show this dead letter, as the API sends it. */
export function showDeadLetter(letter) {
  const dialog = byId("dead-letter");
  const bytes = bytesOf(letter.value_base64);
  const cut = bytes.length < letter.value_size ? `The first ${count(bytes.length)} of ${count(letter.value_size)} bytes.` : "";
  dialog.replaceChildren(
    make("header", {},
      make("h2", { id: "dead-letter-title", tabindex: "-1" }, `Dead letter ${letter.partition}:${letter.offset}`),
      button("Close", "plain", () => dialog.close())),
    make("div", { class: "dead-letter-body" },
      make("p", { class: "dead-letter-reason", dir: "auto" }, visible(letter.reason)),
      make("dl", { class: "facts" }, ...factsOf(letter).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, isolated(value))))),
      letter.value_left_out
        ? make("p", {}, `The value of ${count(letter.value_size)} bytes was too large to keep: the record itself is on its topic.`)
        : make("div", { class: "dead-letter-value" },
          part("Bytes", hexOf(bytes), cut),
          part("As JSON", jsonOf(letter, cut)),
          part("Expected at least", expectedOf(letter)))),
  );
  dialog.showModal();
}

function part(title, text, note = "") {
  return make("div", {}, make("h3", {}, title), make("pre", { tabindex: "0", "aria-label": title }, text), note && make("p", { class: "muted" }, note));
}

function factsOf({ source, key, workspace_id: workspace, died_at: diedAt, settled }) {
  return [
    ["read from", source ? `${source.topic}, partition ${source.partition}, offset ${source.offset}` : "not known"],
    ["key", key === null ? "none" : key],
    ["workspace", workspace],
    ["dead since", dateAndAge(diedAt)],
    ["settled", settled],
  ].filter(([, value]) => value);
}

function jsonOf({ value, value_size: size }, cut) {
  if (value === null || !size) return "The record has no value.";
  try {
    return visible(JSON.stringify(JSON.parse(value), null, 2));
  } catch (error) {
    return cut ? `Only its beginning is kept here:\n\n${visible(value)}` : `No JSON: ${error.message}\n\n${visible(value)}`;
  }
}

function expectedOf({ source }) {
  const expected = EXPECTED[source?.topic];
  return expected ? JSON.stringify(expected, null, 2) : "An event as /asyncapi.json describes it.";
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64 ?? ""), (one) => one.charCodeAt(0));
}

/** A hex dump: offset, bytes, and those that are printable ASCII. */
function hexOf(bytes) {
  if (!bytes.length) return "none";
  const rows = [];
  for (let at = 0; at < bytes.length; at += BYTES_PER_ROW) {
    const row = [...bytes.subarray(at, at + BYTES_PER_ROW)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    rows.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(BYTES_PER_ROW * 3 - 1)}  ${text}`);
  }
  return rows.join("\n");
}
