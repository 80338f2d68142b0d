/** One photo in full, in a dialog that follows the feed while it is open. */

import { thumbnailsBySize } from "./card.js";
import { make, ownAddress } from "./elements.js";
import { age, count, dimensions, duration, fileSize, moment, nameOf } from "./wording.js";

export class Detail {
  #dialog;
  #album;
  #client;
  #neighbour;
  #onClose;
  #id = null;
  #drawn = null;
  #notice = "";
  #isAsking = false;
  #parts = {};

  /** `neighbour(id, step)` gives the entry before or after on the sheet; `onClose(id)` hears of every closing. */
  constructor(dialog, { album, client, neighbour, onMove, onClose }) {
    this.#dialog = dialog;
    this.#album = album;
    this.#client = client;
    this.#neighbour = neighbour;
    this.#onClose = onClose;
    this.onMove = onMove;
    this.#build();
    dialog.addEventListener("close", () => this.#closed());
    dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
    dialog.addEventListener("keydown", (event) => this.#onKey(event));
  }

  get id() {
    return this.#id;
  }

  open(id) {
    this.#id = id;
    this.#drawn = null;
    this.#notice = "";
    this.#isAsking = false;
    this.draw();
    if (!this.#dialog.open) this.#dialog.showModal();
    this.onMove(id);
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  /** Draw what is known now; close when the photo is gone. */
  draw() {
    if (this.#id === null) return;
    const entry = this.#album.get(this.#id);
    if (!entry) {
      if (this.#album.isBuried(this.#id)) this.close();
      return;
    }
    const state = [entry.photo, entry.events.length, this.#notice, this.#isAsking];
    if (this.#drawn && state.every((part, at) => part === this.#drawn[at])) return;
    this.#drawn = state;
    this.#fill(entry);
  }

  #build() {
    const part = (name, element) => (this.#parts[name] = element);
    const button = (name, label, kind, onClick) => {
      const element = part(name, make("button", { type: "button", class: kind }, label));
      element.addEventListener("click", onClick);
      return element;
    };
    this.#dialog.append(
      make("header", {},
        part("name", make("h2", { id: "detail-name" })),
        button("before", "←", "plain square", () => this.#move(-1)),
        button("after", "→", "plain square", () => this.#move(1)),
        button("close", "Close", "plain", () => this.close())),
      make("div", { class: "detail-body" },
        part("stage", make("div", { class: "stage" }, part("image", make("img", { alt: "" })), part("stageNote", make("p")))),
        make("div", { class: "detail-facts" },
          part("status", make("p", { class: "badge", role: "status" }, make("i", { class: "glyph", "aria-hidden": "true" }), make("span"))),
          part("error", make("div", { class: "fault" }, make("b"), make("p"))),
          part("facts", make("dl", { class: "facts" })),
          make("h3", {}, "Renditions"), part("renditions", make("div", { class: "renditions" })),
          make("h3", {}, "Events seen by this page"), part("events", make("ol", { class: "events" })))),
      make("footer", {},
        part("original", make("a", { class: "button", target: "_blank", rel: "noopener" }, "Open the original")),
        button("retry", "Try again", "strong", () => this.#act(() => this.#client.retry(this.#id), "Asked for another try.")),
        part("notice", make("p", { class: "notice", role: "status" })),
        button("remove", "Delete…", "plain danger", () => this.#ask(true)),
        button("confirm", "Delete for good", "danger solid", () => this.#act(() => this.#client.remove(this.#id), "Deleting…")),
        button("keep", "Keep", "plain", () => this.#ask(false))),
    );
    this.#parts.before.setAttribute("aria-label", "Newer photo");
    this.#parts.after.setAttribute("aria-label", "Older photo");
  }

  #fill({ photo, events }) {
    const parts = this.#parts;
    this.#dialog.dataset.status = photo.thumbnail_status;
    parts.name.textContent = nameOf(photo);
    parts.status.lastChild.textContent = photo.thumbnail_status;
    this.#fillStage(photo);
    parts.error.hidden = !photo.error;
    parts.error.firstChild.textContent = photo.error?.code ?? "";
    parts.error.lastChild.textContent = photo.error?.message ?? "";
    parts.facts.replaceChildren(...factsOf(photo).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
    parts.renditions.replaceChildren(renditionsOf(photo));
    parts.events.replaceChildren(...eventsOf(events));
    const original = ownAddress(photo.original_url);
    parts.original.hidden = !original;
    if (original) parts.original.href = original;
    parts.retry.hidden = photo.thumbnail_status !== "failed" || this.#isAsking;
    parts.remove.hidden = this.#isAsking;
    parts.confirm.hidden = parts.keep.hidden = !this.#isAsking;
    parts.notice.textContent = this.#isAsking ? "Original and thumbnails go. This cannot be undone." : this.#notice;
    parts.before.disabled = !this.#neighbour(photo.id, -1);
    parts.after.disabled = !this.#neighbour(photo.id, 1);
  }

  #fillStage(photo) {
    const { image, stageNote } = this.#parts;
    const largest = thumbnailsBySize(photo).at(-1);
    stageNote.textContent = largest ? "" : { failed: "No thumbnails", pending: "Waiting for a worker", processing: "Rendering…" }[photo.thumbnail_status] ?? "";
    image.hidden = !largest;
    if (!largest) return image.removeAttribute("src");
    image.alt = photo.caption || `Thumbnail of ${nameOf(photo)}`;
    if (image.getAttribute("src") === largest.url) return undefined;
    image.width = largest.width;
    image.height = largest.height;
    image.src = largest.url;
    return undefined;
  }

  #move(step) {
    const next = this.#neighbour(this.#id, step);
    if (next) this.open(next.id);
  }

  #ask(isAsking) {
    this.#isAsking = isAsking;
    this.draw();
    this.#parts[isAsking ? "confirm" : "remove"].focus();
  }

  async #act(request, notice) {
    const id = this.#id;
    const retry = this.#parts.retry;
    this.#isAsking = false;
    this.#notice = notice;
    retry.disabled = true;
    this.draw();
    try {
      await request();
      if (notice === "Deleting…") this.#album.bury(id);
    } catch (problem) {
      if (problem.status === 404) this.#album.bury(id);
      else if (this.#id === id) this.#notice = problem.message;
    }
    retry.disabled = false;
    if (this.#id === id) this.draw();
  }

  #onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("pre, input")) return;
    if (event.key === "ArrowLeft") this.#move(-1);
    if (event.key === "ArrowRight") this.#move(1);
  }

  #closed() {
    const id = this.#id;
    this.#id = null;
    this.#parts.image.removeAttribute("src");
    this.#onClose(id);
  }
}

function factsOf(photo) {
  return [
    ["dimensions", dimensions(photo) && `${dimensions(photo)} px`],
    ["file size", photo.file_size == null ? "" : `${fileSize(photo.file_size)} (${count(photo.file_size)} bytes)`],
    ["type", photo.content_type],
    ["caption", photo.caption],
    ["item", photo.item_id && `${photo.item_id}${photo.is_primary ? " (primary)" : ""}`],
    ["uploaded by", photo.uploaded_by],
    ["attempts", photo.attempts ? String(photo.attempts) : ""],
    ["created", photo.created_at && `${moment(photo.created_at)} (${agoOf(photo.created_at)})`],
    ["updated", photo.updated_at && `${moment(photo.updated_at)}${tookOf(photo)}`],
    ["checksum", photo.checksum],
    ["id", photo.id],
  ].filter(([, value]) => value);
}

function agoOf(created) {
  const words = age(created);
  return words === "now" ? "just now" : `${words} ago`;
}

function tookOf({ created_at: created, updated_at: updated, thumbnail_status: status }) {
  const seconds = (Date.parse(updated) - Date.parse(created)) / 1000;
  return ["ready", "failed"].includes(status) && seconds >= 0 ? `, ${duration(seconds)} later` : "";
}

function renditionsOf(photo) {
  const thumbnails = thumbnailsBySize(photo);
  if (!thumbnails.length) return make("p", { class: "muted" }, "None yet.");
  const head = make("tr", {}, ...["name", "px", "size", "type"].map((name) => make("th", { scope: "col" }, name)));
  const rows = thumbnails.map((one) =>
    make("tr", {},
      make("td", {}, make("a", { href: one.url, target: "_blank", rel: "noopener" }, one.name)),
      make("td", {}, dimensions(one)),
      make("td", {}, fileSize(one.file_size)),
      make("td", {}, String(one.content_type ?? "").replace("image/", ""))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
}

function eventsOf(events) {
  if (!events.length) return [make("li", { class: "muted" }, "None since the page was opened.")];
  return events.map(({ event, at }) =>
    make("li", {}, make("time", { datetime: at }, new Date(at).toLocaleTimeString("en-GB")), make("code", {}, String(event))));
}
