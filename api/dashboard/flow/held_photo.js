/** A photo that a worker holds, as `GET …/workers` tells of it. */

import { addressOf } from "../page/address.js";
import { button, isolated, make } from "../page/elements.js";
import { isolatedName, nameOf } from "../page/format.js";
import { thumbnailsBySize } from "../photos/card.js";
import { previewOf } from "../photos/preview.js";

/**
 * A button that opens the photo here, a link to it in its workspace, or words.
 *
 * `workspace`: the one of this page; `onOpen(photo)` is called for one of its photos that is clicked.
 */
export function heldPhoto({ photo, photo_id: id, workspace_id: workspace }, { workspace: ours, onOpen }) {
  if (id === null) return make("span", { class: "muted" }, "a photo of another workspace");
  const name = photo ? nameOf(photo) : nameOf({ id });
  const label = [pictureOf(photo), make("span", { class: "slot-name", dir: "auto" }, name)];
  if (photo && workspace === ours) {
    const element = button("", "slot-photo", () => onOpen(photo), { title: name, "aria-label": `Open ${isolatedName(name)}` });
    element.append(...label);
    return element;
  }
  const link = make("a", { class: "slot-photo", href: addressOf({ workspace, place: "photos", photo: id }), title: name }, ...label);
  return make("span", { class: "slot-elsewhere" }, link, make("span", { class: "muted" }, " in ", isolated(workspace)));
}

/** A small picture of the photo: its smallest thumbnail if it was ready before, else its preview, else nothing. */
function pictureOf(photo) {
  const [smallest] = photo ? thumbnailsBySize(photo) : [];
  if (smallest) return make("img", { class: "slot-picture", src: smallest.url, alt: "", decoding: "async" });
  return previewOf(photo?.thumbhash, "slot-picture") ?? make("span", { class: "slot-picture", "aria-hidden": "true" });
}
