/** One photo in full, in a dialog that follows the feed while it is open. */

import { thumbnailsBySize } from "./card.js";
import { isolated, make, ownAddress } from "./elements.js";
import { age, count, dimensions, duration, failureOf, fileSize, harmless, moment, nameOf, quoted } from "./wording.js";

const DELETING = "Deleting…";

export class Detail {
  #dialog;
  #album;
  #client;
  #neighbour;
  #onClose;
  #onGone;
  #id = null;
  #entry = null;
  #drawn = null;
  #notice = "";
  #isAsking = false;
  #busy = new Set();
  #parts = {};

  /**
   * `neighbour(entry, step)` gives the entry before or after on the sheet; `onClose(entry)` hears of every closing,
   * `onGone(entry)` when the photo was deleted by somebody else while it was open.
   */
  constructor(dialog, { album, client, neighbour, onMove, onClose, onGone }) {
    this.#dialog = dialog;
    this.#album = album;
    this.#client = client;
    this.#neighbour = neighbour;
    this.#onClose = onClose;
    this.#onGone = onGone;
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
    this.#entry = this.#album.get(id) ?? null;
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
      if (this.#album.isBuried(this.#id)) this.#gone();
      return;
    }
    this.#entry = entry;
    const state = [entry.photo, entry.events.length, this.#notice, this.#isAsking, this.#busy.has(this.#id)];
    if (this.#drawn && state.every((part, at) => part === this.#drawn[at])) return;
    this.#drawn = state;
    this.#fill(entry);
  }

  #gone() {
    if (this.#entry && this.#notice !== DELETING) this.#onGone(this.#entry);
    this.close();
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
        part("name", make("h2", { id: "detail-name", dir: "auto", tabindex: "-1" })),
        button("before", "←", "plain square", () => this.#move(-1)),
        button("after", "→", "plain square", () => this.#move(1)),
        button("close", "Close", "plain", () => this.close())),
      make("div", { class: "detail-body" },
        part("stage", make("div", { class: "stage" }, part("image", make("img", { alt: "" })), part("stageNote", make("p")))),
        make("div", { class: "detail-facts" },
          part("status", make("p", { class: "badge", role: "status" }, make("i", { class: "glyph", "aria-hidden": "true" }), make("span"))),
          part("error", make("div", { class: "fault" }, make("b"), make("p", { dir: "auto" }), make("p", { class: "advice" }))),
          part("facts", make("dl", { class: "facts" })),
          make("h3", {}, "Renditions"), part("renditions", make("div", { class: "renditions" })),
          make("h3", {}, "Events seen by this page"), part("events", make("ol", { class: "events" })))),
      make("footer", {},
        part("original", make("a", { class: "button", target: "_blank", rel: "noopener" }, "Open the original")),
        button("retry", "Try again", "strong", () => this.#act(() => this.#client.retry(this.#id), "Asked for another try.")),
        part("notice", make("p", { class: "notice", role: "status" })),
        button("remove", "Delete…", "plain danger", () => this.#ask(true)),
        button("confirm", "Delete for good", "danger solid", () => this.#act(() => this.#client.remove(this.#id), DELETING)),
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
    const failure = failureOf(photo);
    for (const [at, text] of [failure.code, failure.message, failure.advice].entries()) parts.error.children[at].textContent = text;
    parts.facts.replaceChildren(...factsOf(photo).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, isolated(value)))));
    parts.renditions.replaceChildren(renditionsOf(photo));
    parts.events.replaceChildren(...eventsOf(events));
    const original = ownAddress(photo.original_url);
    parts.original.hidden = !original;
    if (original) parts.original.href = original;
    parts.retry.hidden = photo.thumbnail_status !== "failed" || !failure.canRetry || this.#isAsking;
    // Not `disabled`: that would take the focus, and with it the arrow keys.
    parts.retry.ariaDisabled = this.#busy.has(photo.id) ? "true" : null;
    parts.remove.hidden = this.#isAsking;
    parts.confirm.hidden = parts.keep.hidden = !this.#isAsking;
    parts.notice.textContent = this.#isAsking ? "Original and thumbnails go. This cannot be undone." : this.#notice;
    parts.before.disabled = !this.#neighbour(this.#entry, -1);
    parts.after.disabled = !this.#neighbour(this.#entry, 1);
    this.#keepFocus();
  }

  /** A button that had the focus may be hidden or disabled now; without a focus inside, no key would reach the dialog. */
  #keepFocus() {
    const focused = document.activeElement;
    const isLost = !this.#dialog.contains(focused) || focused.hidden || focused.disabled;
    if (this.#dialog.open && isLost) this.#parts.name.focus({ preventScroll: true });
  }

  #fillStage(photo) {
    const { image, stageNote } = this.#parts;
    const largest = thumbnailsBySize(photo).at(-1);
    stageNote.textContent = largest ? "" : { failed: "No thumbnails", pending: "Waiting for a worker", processing: "Rendering…" }[photo.thumbnail_status] ?? "";
    image.hidden = !largest;
    if (!largest) return image.removeAttribute("src");
    image.alt = harmless(photo.caption) || `Thumbnail of ${quoted(nameOf(photo))}`;
    if (image.getAttribute("src") === largest.url) return undefined;
    image.width = largest.width;
    image.height = largest.height;
    image.src = largest.url;
    return undefined;
  }

  #move(step) {
    const next = this.#entry && this.#neighbour(this.#entry, step);
    if (next) this.open(next.id);
  }

  #ask(isAsking) {
    this.#isAsking = isAsking;
    this.draw();
    this.#parts[isAsking ? "confirm" : "remove"].focus();
  }

  async #act(request, notice) {
    const id = this.#id;
    if (this.#busy.has(id)) return;
    this.#busy.add(id);
    this.#isAsking = false;
    this.#notice = notice;
    this.draw();
    try {
      await request();
      if (notice === DELETING) this.#album.bury(id);
    } catch (problem) {
      if (problem.status === 404) this.#album.bury(id);
      else if (this.#id === id) this.#notice = problem.message;
    }
    this.#busy.delete(id);
    this.draw();
  }

  #onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("pre, input")) return;
    if (event.key === "ArrowLeft") this.#move(-1);
    if (event.key === "ArrowRight") this.#move(1);
  }

  #closed() {
    const entry = this.#entry;
    this.#id = this.#entry = null;
    this.#parts.image.removeAttribute("src");
    this.#onClose(entry);
  }
}

function factsOf(photo) {
  return [
    ["file name", photo.filename],
    ["dimensions", dimensions(photo) && `${dimensions(photo)} px`],
    ["file size", photo.file_size == null ? "" : `${fileSize(photo.file_size)} (${count(photo.file_size)} bytes)`],
    ["type", photo.content_type],
    ["caption", photo.caption],
    ["item", photo.item_id && `${photo.item_id}${photo.is_primary ? " (primary)" : ""}`],
    ["uploaded by", photo.uploaded_by],
    ["attempts", photo.attempts ? String(photo.attempts) : ""],
    ["uploaded", photo.created_at && `${moment(photo.created_at)} (${agoOf(photo.created_at)})`],
    [`${photo.thumbnail_status} since`, photo.status_changed_at && `${moment(photo.status_changed_at)} (${agoOf(photo.status_changed_at)})`],
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
