/** One photo on the sheet: built once, then changed in place. */

import { make, ownAddress, setText } from "./elements.js";
import { decodeThumbhash } from "./thumbhash.js";
import { age, dimensions, failureOf, fileSize, lasting, nameOf } from "./wording.js";

/** Renditions with a longer edge than this are for the detail view. In px. */
const LONGEST_ON_SHEET = 700;

export class Card {
  element;
  button;
  #canvas = make("canvas", { class: "blur", width: "1", height: "1" });
  #image = make("img", { class: "thumb", alt: "", decoding: "async", draggable: "false" });
  #reason = make("span", { class: "reason" }, make("b"), make("span", { dir: "auto" }));
  #name = make("span", { class: "card-name", dir: "auto" });
  #word = make("span", { class: "word" });
  #age = make("time", { class: "card-age" });
  #facts = make("span", { class: "card-facts" });
  #photo = null;
  #edge = 0;
  #thumbhash = null;
  #sources = "";

  constructor(id, onOpen) {
    this.button = make(
      "button",
      { type: "button", class: "card-open", tabindex: "-1" },
      make("span", { class: "window" }, this.#canvas, this.#image, this.#reason),
      make(
        "span",
        { class: "rebate" },
        this.#name,
        make("span", { class: "badge" }, make("i", { class: "glyph", "aria-hidden": "true" }), this.#word, this.#age),
        this.#facts,
      ),
    );
    this.button.addEventListener("click", () => onOpen(id));
    this.element = make("li", { class: "card" }, this.button);
    this.element.dataset.id = id;
  }

  /** Place the card: `x`, `y` within the sheet, `width` of the card and `edge` of its window, all px. */
  place({ x, y, width, edge }) {
    const { style } = this.element;
    style.transform = `translate(${x}px, ${y}px)`;
    style.width = `${width}px`;
    if (edge !== this.#edge) {
      this.#edge = edge;
      if (this.#photo) this.#showThumbnail(this.#photo);
    }
  }

  /** Say where in the whole sheet the card stands; `total` -1 while older photos are not loaded. */
  number(position, total) {
    this.element.setAttribute("aria-posinset", String(position));
    this.element.setAttribute("aria-setsize", String(total));
  }

  show(photo) {
    if (photo === this.#photo) return;
    this.#photo = photo;
    const status = photo.thumbnail_status;
    if (this.element.dataset.status !== status) this.element.dataset.status = status;
    setText(this.#name, nameOf(photo));
    this.#name.title = nameOf(photo);
    setText(this.#word, status);
    setText(this.#facts, [dimensions(photo), fileSize(photo.file_size)].filter(Boolean).join("  ·  ") || " ");
    this.#showReason(photo);
    this.#showBlur(photo.thumbhash);
    this.#showThumbnail(photo);
    this.tick();
  }

  /** Bring the age up to date. */
  tick() {
    if (!this.#photo) return;
    const { status_changed_at: since, created_at: created, thumbnail_status: status } = this.#photo;
    setText(this.#age, age(since ?? created));
    this.#age.dateTime = since ?? created;
    const title = `${status} for ${lasting(since ?? created)}, uploaded ${age(created) === "now" ? "just now" : `${age(created)} ago`}`;
    if (this.#age.title !== title) this.#age.title = title;
  }

  #showReason(photo) {
    const [code, message] = this.#reason.children;
    const failure = photo.thumbnail_status === "failed" ? failureOf(photo) : { code: "", message: "" };
    setText(code, failure.code);
    setText(message, failure.message);
  }

  #showBlur(thumbhash) {
    if (thumbhash === this.#thumbhash) return;
    this.#thumbhash = thumbhash;
    const picture = thumbhash && decodeThumbhash(thumbhash);
    this.element.classList.toggle("has-blur", Boolean(picture));
    if (!picture) return;
    this.#canvas.width = picture.width;
    this.#canvas.height = picture.height;
    this.#canvas.getContext("2d").putImageData(new ImageData(picture.rgba, picture.width, picture.height), 0, 0);
  }

  #showThumbnail(photo) {
    const choices = thumbnailsBySize(photo).filter((one, at) => at === 0 || Math.max(one.width, one.height) <= LONGEST_ON_SHEET);
    const sources = choices.map(({ url, width }) => `${url} ${width}w`).join(", ");
    const sizes = choices.length ? `${shownWidth(choices.at(-1), this.#edge)}px` : "";
    if (this.#image.sizes !== sizes) this.#image.sizes = sizes;
    if (sources === this.#sources) return;
    this.#sources = sources;
    if (!sources) {
      this.element.classList.remove("has-thumb");
      this.#image.removeAttribute("srcset");
      this.#image.removeAttribute("src");
      return;
    }
    this.#image.srcset = sources;
    this.#image.src = choices[0].url;
    // Fade in once the pixels are decoded: no flash of a half-drawn or of a broken picture.
    this.#image.decode().then(
      () => this.#sources === sources && this.element.classList.add("has-thumb"),
      () => this.#sources === sources && this.element.classList.remove("has-thumb"),
    );
  }
}

/** The photo's thumbnails with their names, smallest first; those with an address of this server only. */
export function thumbnailsBySize(photo) {
  return Object.entries(photo.thumbnails ?? {})
    .map(([name, thumbnail]) => ({ name, ...thumbnail, url: ownAddress(thumbnail?.url) }))
    .filter(({ url, width, height }) => url && width > 0 && height > 0)
    .sort((left, right) => left.width * left.height - right.width * right.height);
}

/** How wide a picture shows when it is fitted inside `edge` x `edge` px and never enlarged. */
function shownWidth({ width, height }, edge) {
  return Math.max(1, Math.round(width * Math.min(1, edge / width, edge / height)));
}
