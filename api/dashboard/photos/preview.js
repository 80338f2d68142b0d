/** The blurred preview of a photo, where it is a picture of its own. */

import { make } from "../page/elements.js";
import { decodeThumbhash } from "./thumbhash.js";

/** A canvas with what `thumbhash` encodes, hidden from screen readers; `null` if it is none. */
export function previewOf(thumbhash, className) {
  const image = thumbhash && decodeThumbhash(thumbhash);
  if (!image) return null;
  const canvas = make("canvas", { class: className, width: image.width, height: image.height, "aria-hidden": "true" });
  canvas.getContext("2d").putImageData(new ImageData(image.rgba, image.width, image.height), 0, 0);
  return canvas;
}
