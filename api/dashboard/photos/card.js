/** The card of one photo in the grid: created once, then updated in place. */

import { button, localPath, make, setText } from "../page/elements.js";
import { age, ago, dimensions, fileSize, nameOf } from "../page/format.js";
import { failureOf } from "./failures.js";
import { decodeThumbhash } from "./thumbhash.js";

/** Larger thumbnails are for the detail dialog. */
const MAX_EDGE_PX = 700;
/** Where the blurred previews are drawn, one after the other. */
const canvas = document.createElement("canvas");

export class Card {
  element;
  button;
  #blur = make("img", { class: "blur", alt: "", draggable: "false" });
  #image = make("img", { class: "thumb", alt: "", decoding: "async", draggable: "false" });
  #reason = make("span", { class: "reason" }, make("b"), make("span", { dir: "auto" }));
  #name = make("span", { class: "card-name", dir: "auto" });
  #status = make("span", { class: "badge-text" });
  #age = make("time", { class: "card-age" });
  #facts = make("span", { class: "card-facts" });
  #photo = null;
  #width = 0;
  #thumbhash = null;
  #sources = "";

  constructor(id, onOpen) {
    this.button = button("", "card-open", () => onOpen(id), { tabindex: "-1" });
    this.button.append(
      make("span", { class: "card-image" }, this.#blur, this.#image, this.#reason),
      make("span", { class: "card-footer" },
        this.#name,
        make("span", { class: "badge" }, make("i", { class: "status-icon", "aria-hidden": "true" }), this.#status, this.#age),
        this.#facts),
    );
    this.element = make("li", { class: "card" }, this.button);
    this.element.dataset.id = id;
  }

  /** Move the card to `x`, `y` within the grid, `width` wide, all in px. */
  place({ x, y, width }) {
    const { style } = this.element;
    style.transform = `translate(${x}px, ${y}px)`;
    style.width = `${width}px`;
    if (width !== this.#width) {
      this.#width = width;
      if (this.#photo) this.#showThumbnail(this.#photo);
    }
  }

  /** Tell screen readers the card's position; `total` is -1 while there are older photos to load. */
  setPosition(position, total) {
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
    setText(this.#status, status);
    setText(this.#facts, [dimensions(photo), fileSize(photo.file_size)].filter(Boolean).join("  ·  ") || " ");
    this.#showReason(photo);
    this.#showBlur(photo.thumbhash);
    this.#showThumbnail(photo);
    this.tick();
  }

  /** Update the age. */
  tick() {
    if (!this.#photo) return;
    const { status_changed_at: since, created_at: created, thumbnail_status: status } = this.#photo;
    setText(this.#age, age(since ?? created));
    this.#age.dateTime = since ?? created;
    const lasting = age(since ?? created) === "now" ? "a moment" : age(since ?? created);
    const title = `${status} for ${lasting}, uploaded ${ago(created)}`;
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
    const image = thumbhash && decodeThumbhash(thumbhash);
    this.element.classList.toggle("has-blur", Boolean(image));
    if (!image) return;
    // Not a canvas in each card: the browser makes a layer of its own of each, which adds half to the cost of a frame of scrolling.
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext("2d").putImageData(new ImageData(image.rgba, image.width, image.height), 0, 0);
    this.#blur.src = canvas.toDataURL();
  }

  #showThumbnail(photo) {
    const thumbnails = thumbnailsBySize(photo).filter((one, at) => at === 0 || Math.max(one.width, one.height) <= MAX_EDGE_PX);
    const sources = thumbnails.map(({ url, width }) => `${url} ${width}w`).join(", ");
    const sizes = thumbnails.length ? `${shownWidth(thumbnails.at(-1), this.#width)}px` : "";
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
    this.#image.src = thumbnails[0].url;
    // Fade in only after decoding, so that no incomplete or broken image shows.
    this.#image.decode().then(
      () => this.#sources === sources && this.element.classList.add("has-thumb"),
      () => this.#sources === sources && this.element.classList.remove("has-thumb"),
    );
  }
}

/** The photo's thumbnails with their names, smallest first; only those with a URL on this server. */
export function thumbnailsBySize(photo) {
  return Object.entries(photo.thumbnails ?? {})
    .map(([name, thumbnail]) => ({ name, ...thumbnail, url: localPath(thumbnail?.url) }))
    .filter(({ url, width, height }) => url && width > 0 && height > 0)
    .sort((left, right) => left.width * left.height - right.width * right.height);
}

/** The displayed width of an image that is fitted inside `edge` x `edge` px and never enlarged. */
function shownWidth({ width, height }, edge) {
  return Math.max(1, Math.round(width * Math.min(1, edge / width, edge / height)));
}
