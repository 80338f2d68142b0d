/** The dialog with all details of one photo, updated by the feed while it is open. */

import { button, isolated, localPath, make } from "../page/elements.js";
import { count, dateAndAge, dateAndTime, dimensions, duration, fileSize, isolatedName, nameOf, visible } from "../page/format.js";
import { thumbnailsBySize } from "./card.js";
import { failureOf } from "./failures.js";
import { PhotoWay } from "./photo_way.js";

const DELETING = "Deleting…";

export class DetailDialog {
  #dialog;
  #store;
  #client;
  #neighbour;
  #onClose;
  #onDeleted;
  #onShow;
  #id = null;
  #entry = null;
  #drawn = null;
  #notice = "";
  #isConfirming = false;
  #busy = new Set();
  #parts = {};
  #way;

  /**
   * `neighbour(entry, step)` returns the previous (-1) or next (1) entry of the grid. `onShow(id)` is called for every photo
   * shown, `onClose(entry)` whenever the dialog closes, `onDeleted(entry)` if someone else deleted the photo shown.
   */
  constructor(dialog, { store, client, neighbour, onShow, onClose, onDeleted }) {
    this.#dialog = dialog;
    this.#store = store;
    this.#client = client;
    this.#way = new PhotoWay(client);
    this.#neighbour = neighbour;
    this.#onClose = onClose;
    this.#onDeleted = onDeleted;
    this.#onShow = onShow;
    this.#build();
    dialog.addEventListener("close", () => this.#onDialogClose());
    dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
    dialog.addEventListener("keydown", (event) => this.#onKey(event));
  }

  get id() {
    return this.#id;
  }

  open(id) {
    this.#id = id;
    this.#entry = this.#store.get(id) ?? null;
    this.#drawn = null;
    this.#notice = "";
    this.#isConfirming = false;
    this.draw();
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#onShow(id);
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  /** Show the current state; close if the photo was deleted. */
  draw() {
    if (this.#id === null) return;
    const entry = this.#store.get(this.#id);
    if (!entry) {
      if (this.#store.isDeleted(this.#id)) this.#closeDeleted();
      return;
    }
    this.#entry = entry;
    const state = [entry.photo, this.#notice, this.#isConfirming, this.#busy.has(this.#id)];
    if (this.#drawn && state.every((part, at) => part === this.#drawn[at])) return;
    this.#drawn = state;
    this.#fill(entry);
  }

  #closeDeleted() {
    if (this.#entry && this.#notice !== DELETING) this.#onDeleted(this.#entry);
    this.close();
  }

  #build() {
    const part = (name, element) => (this.#parts[name] = element);
    const buttonPart = (name, ...options) => part(name, button(...options));
    this.#dialog.append(
      make("header", {},
        part("name", make("h2", { id: "detail-name", dir: "auto", tabindex: "-1" })),
        buttonPart("previous", "←", "plain square", () => this.#move(-1), { "aria-label": "Newer photo" }),
        buttonPart("next", "→", "plain square", () => this.#move(1), { "aria-label": "Older photo" }),
        button("Close", "plain", () => this.close())),
      make("div", { class: "detail-body" },
        make("div", { class: "preview" }, part("image", make("img", { alt: "" })), part("imageNote", make("p"))),
        make("div", { class: "detail-facts", tabindex: "0", role: "region", "aria-label": "Facts" },
          part("status", make("p", { class: "badge", role: "status" }, make("i", { class: "status-icon", "aria-hidden": "true" }), make("span"))),
          part("error", make("div", { class: "photo-error" }, make("b"), make("p", { dir: "auto" }), make("p", { class: "advice" }))),
          part("facts", make("dl", { class: "facts" })),
          make("h3", {}, "Renditions"), part("renditions", make("div", { class: "renditions" })),
          make("h3", {}, "Its way through the pipeline"), this.#way.element)),
      make("footer", {},
        part("original", make("a", { class: "button", target: "_blank", rel: "noopener" }, "Open the original")),
        buttonPart("retry", "Try again", "primary", () => this.#send(() => this.#client.retry(this.#id), "Retry requested.")),
        part("notice", make("p", { class: "notice", role: "status" })),
        buttonPart("remove", "Delete…", "plain danger", () => this.#confirm(true)),
        buttonPart("confirm", "Delete permanently", "danger solid", () => this.#send(() => this.#client.remove(this.#id), DELETING)),
        buttonPart("cancel", "Cancel", "plain", () => this.#confirm(false))),
    );
  }

  #fill({ photo }) {
    const parts = this.#parts;
    this.#dialog.dataset.status = photo.thumbnail_status;
    parts.name.textContent = nameOf(photo);
    parts.status.lastChild.textContent = photo.thumbnail_status;
    this.#showImage(photo);
    parts.error.hidden = !photo.error;
    const failure = failureOf(photo);
    for (const [at, text] of [failure.code, failure.message, failure.advice].entries()) parts.error.children[at].textContent = text;
    parts.facts.replaceChildren(...factsOf(photo).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, isolated(value)))));
    parts.renditions.replaceChildren(renditionsOf(photo));
    this.#way.show(photo.id);
    const original = localPath(photo.original_url);
    parts.original.hidden = !original;
    if (original) parts.original.href = original;
    parts.retry.hidden = photo.thumbnail_status !== "failed" || !failure.canRetry || this.#isConfirming;
    // Not `disabled`, which would take the focus, so that arrow keys would no longer reach the dialog.
    parts.retry.ariaDisabled = this.#busy.has(photo.id) ? "true" : null;
    parts.remove.hidden = this.#isConfirming;
    parts.confirm.hidden = parts.cancel.hidden = !this.#isConfirming;
    parts.notice.textContent = this.#isConfirming ? "The original and its thumbnails will be deleted. This cannot be undone." : this.#notice;
    parts.previous.disabled = !this.#neighbour(this.#entry, -1);
    parts.next.disabled = !this.#neighbour(this.#entry, 1);
    this.#keepFocus();
  }

  /** Move the focus if its button was hidden or disabled: without focus inside the dialog, no key would reach it. */
  #keepFocus() {
    const focused = document.activeElement;
    const isLost = !this.#dialog.contains(focused) || focused.hidden || focused.disabled;
    if (this.#dialog.open && isLost) this.#parts.name.focus({ preventScroll: true });
  }

  #showImage(photo) {
    const { image, imageNote } = this.#parts;
    const largest = thumbnailsBySize(photo).at(-1);
    imageNote.textContent = largest ? "" : { failed: "No thumbnails", pending: "Waiting for a worker", processing: "Rendering…" }[photo.thumbnail_status] ?? "";
    image.hidden = !largest;
    if (!largest) return image.removeAttribute("src");
    image.alt = visible(photo.caption) || `Thumbnail of ${isolatedName(nameOf(photo))}`;
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

  #confirm(isConfirming) {
    this.#isConfirming = isConfirming;
    this.draw();
    this.#parts[isConfirming ? "confirm" : "remove"].focus();
  }

  async #send(request, notice) {
    const id = this.#id;
    if (this.#busy.has(id)) return;
    this.#busy.add(id);
    this.#isConfirming = false;
    this.#notice = notice;
    this.draw();
    try {
      await request();
      if (notice === DELETING) this.#store.markDeleted(id);
    } catch (problem) {
      if (problem.status === 404) this.#store.markDeleted(id);
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

  #onDialogClose() {
    const entry = this.#entry;
    this.#id = this.#entry = null;
    this.#parts.image.removeAttribute("src");
    this.#way.hide();
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
    ["produced by", photo.producer],
    ["attempts", photo.attempts ? String(photo.attempts) : ""],
    ["uploaded", dateAndAge(photo.created_at)],
    [`${photo.thumbnail_status} since`, dateAndAge(photo.status_changed_at)],
    ["updated", photo.updated_at && `${dateAndTime(photo.updated_at)}${processingTime(photo)}`],
    ["checksum", photo.checksum],
    ["id", photo.id],
  ].filter(([, value]) => value);
}

/** How long it took from the upload to the result. */
function processingTime({ created_at: created, updated_at: updated, thumbnail_status: status }) {
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
