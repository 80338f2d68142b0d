/** A card of the grid. It shows one photo after the other: to make an element costs more than to change it. */

import { localPath, make, setText } from "../page/elements.js";
import { age, ago, dimensions, fileSize, nameOf } from "../page/format.js";
import { failureOf } from "./failures.js";
import { averageColour, decodeThumbhash } from "./thumbhash.js";

/** Larger thumbnails are for the detail dialog. */
const MAX_EDGE_PX = 700;
/** How opaque a blurred preview is over its background. Not by CSS, which makes a layer or an effect of each card. */
const PREVIEW_OPACITY = 0.9;
/** Where the blurred previews are drawn, one after the other. */
const canvas = document.createElement("canvas");

export class Card {
  element;
  button = make("button", { type: "button", class: "card-open", tabindex: "-1" });
  /** Id of the photo that the card shows. */
  id = null;
  #image = make("img", { class: "thumb", alt: "", decoding: "async", draggable: "false" });
  #reason = make("span", { class: "reason" }, make("b"), make("span", { dir: "auto" }));
  #picture = make("span", { class: "card-image" }, this.#image, this.#reason);
  #name = make("span", { class: "card-name", dir: "auto" });
  #status = make("span", { class: "badge-text" });
  #age = make("time", { class: "card-age" });
  #facts = make("span", { class: "card-facts" });
  #photo = null;
  #place = {};
  #position = {};
  #thumbhash = null;
  #hasPreview = true;
  #source = null;
  #isPressed = null;
  #isPassing = false;

  constructor() {
    this.button.append(
      this.#picture,
      make("span", { class: "card-footer" },
        this.#name,
        make("span", { class: "badge" }, make("i", { class: "status-icon", "aria-hidden": "true" }), this.#status, this.#age),
        this.#facts),
    );
    this.element = make("li", { class: "card" }, this.button);
  }

  /** From now on this card is that of the photo `id`; `fades`: what it shows may fade in. */
  assign(id, { fades }) {
    this.id = id;
    this.element.dataset.id = id;
    this.element.classList.toggle("fades", fades);
    // The image of another photo must not show in the meantime.
    this.element.classList.remove("has-thumb");
    this.#source = this.#photo = null;
  }

  /** Move the card to `x`, `y` within the grid, `width` wide and `height` high, all in px. */
  place({ x, y, width, height }) {
    const { style } = this.element;
    const before = this.#place;
    this.#place = { x, y, width, height };
    if (x !== before.x) style.left = `${x}px`;
    if (y !== before.y) style.top = `${y}px`;
    if (width === before.width && height === before.height) return;
    style.width = `${width}px`;
    style.height = `${height}px`;
    if (this.#photo) this.#showThumbnail(this.#photo);
  }

  /** Tell screen readers the card's position; `total` is -1 while there are older photos to load. */
  setPosition(position, total) {
    if (position !== this.#position.position) this.element.setAttribute("aria-posinset", String(position));
    if (total !== this.#position.total) this.element.setAttribute("aria-setsize", String(total));
    this.#position = { position, total };
  }

  /** Whether the photo is selected; null: it cannot be now. */
  setPressed(isPressed) {
    if (isPressed === this.#isPressed) return;
    this.#isPressed = isPressed;
    if (isPressed === null) this.button.removeAttribute("aria-pressed");
    else this.button.setAttribute("aria-pressed", String(isPressed));
  }

  /** Show `photo`; `isPassing`: it goes by too fast for its thumbnail to be worth a request yet. */
  show(photo, { isPassing = false } = {}) {
    const wasPassing = this.#isPassing;
    this.#isPassing = isPassing;
    if (photo === this.#photo) {
      if (wasPassing && !isPassing) this.#showThumbnail(photo);
      return;
    }
    this.#photo = photo;
    const status = photo.thumbnail_status;
    const name = nameOf(photo);
    if (this.element.dataset.status !== status) this.element.dataset.status = status;
    setText(this.#name, name);
    this.#name.title = name;
    setText(this.#status, status);
    setText(this.#facts, [dimensions(photo), fileSize(photo.file_size)].filter(Boolean).join("  ·  ") || " ");
    this.#showReason(photo);
    this.#showAverage(photo.thumbhash);
    this.#showThumbnail(photo);
    this.tick();
  }

  /** Update the age. */
  tick() {
    if (!this.#photo) return;
    const { status_changed_at: changed, created_at: created, thumbnail_status: status } = this.#photo;
    const since = changed ?? created;
    const text = age(since);
    setText(this.#age, text);
    if (this.#age.dateTime !== since) this.#age.dateTime = since;
    const title = `${status} for ${text === "now" ? "a moment" : text}, uploaded ${ago(created)}`;
    if (this.#age.title !== title) this.#age.title = title;
  }

  /** Draw the blurred preview, if that is still to be done. Returns whether it was. */
  drawPreview() {
    if (this.#hasPreview) return false;
    this.#hasPreview = true;
    const image = decodeThumbhash(this.#thumbhash);
    if (!image) return false;
    for (let at = 3; at < image.rgba.length; at += 4) image.rgba[at] *= PREVIEW_OPACITY;
    // Not a canvas in each card: the browser makes a layer of its own of each.
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext("2d").putImageData(new ImageData(image.rgba, image.width, image.height), 0, 0);
    this.#picture.style.background = `url("${canvas.toDataURL()}") center / cover`;
    return true;
  }

  #showReason(photo) {
    const [code, message] = this.#reason.children;
    const failure = photo.thumbnail_status === "failed" ? failureOf(photo) : { code: "", message: "" };
    setText(code, failure.code);
    setText(message, failure.message);
  }

  /** The preview's average colour, until there is time to draw it. */
  #showAverage(thumbhash) {
    if (thumbhash === this.#thumbhash) return;
    this.#thumbhash = thumbhash;
    const colour = thumbhash && averageColour(thumbhash);
    this.#hasPreview = !colour;
    this.element.classList.toggle("has-blur", Boolean(colour));
    this.#picture.style.background = colour ? `rgb(${colour.join(" ")} / ${PREVIEW_OPACITY})` : "";
  }

  #showThumbnail(photo) {
    this.#setSource(sourceFor(photo, this.#place.width));
  }

  #setSource(source) {
    if (source === this.#source || (source && this.#isPassing)) return;
    this.#source = source;
    if (!source) {
      this.element.classList.remove("has-thumb");
      this.#image.removeAttribute("src");
      return;
    }
    this.#image.src = source;
    // Show it only after decoding, so that no incomplete or broken image shows.
    this.#image.decode().then(
      () => this.#source === source && this.element.classList.add("has-thumb"),
      () => this.#source === source && this.element.classList.remove("has-thumb"),
    );
  }
}

/** The URL of the smallest thumbnail that fills a square of `edge` px on this screen, else of the largest that suits a card. */
function sourceFor(photo, edge) {
  const thumbnails = thumbnailsBySize(photo).filter((one, at) => at === 0 || Math.max(one.width, one.height) <= MAX_EDGE_PX);
  const needed = edge * window.devicePixelRatio;
  return (thumbnails.find(({ width, height }) => Math.max(width, height) >= needed) ?? thumbnails.at(-1))?.url ?? "";
}

/** The thumbnails of photos that were asked for before: to parse their URLs takes time. */
const sorted = new WeakMap();

/** The photo's thumbnails with their names, smallest first; only those with a URL on this server. */
export function thumbnailsBySize(photo) {
  if (!sorted.has(photo)) {
    const thumbnails = Object.entries(photo.thumbnails ?? {})
      .map(([name, thumbnail]) => ({ name, ...thumbnail, url: localPath(thumbnail?.url) }))
      .filter(({ url, width, height }) => url && width > 0 && height > 0)
      .sort((left, right) => left.width * left.height - right.width * right.height);
    sorted.set(photo, thumbnails);
  }
  return sorted.get(photo);
}
