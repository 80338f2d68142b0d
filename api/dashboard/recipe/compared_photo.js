/** One photo by today's recipe and by the trial's: a slider between the two pictures, their bytes and times. */

import { isolated, make, setText } from "../page/elements.js";
import { dimensions, fileSize, isolatedName, nameOf } from "../page/format.js";
import { change, milliseconds } from "./figures.js";

export class ComparedPhoto {
  element;
  #name;
  #renditions;
  #pictures = make("div", { class: "compared-pictures" });
  #today = make("img", { class: "compared-today", alt: "" });
  #trial = make("img", { class: "compared-trial", alt: "" });
  #slider = make("input", { type: "range", min: "0", max: "100", value: "50", dir: "ltr" });
  #note = make("p", { class: "compared-note", hidden: true });
  #captions = { today: make("dd"), trial: make("dd") };

  /** `line`: as the API tells a photo that both recipes have rendered. */
  constructor({ photo, renditions, today, trial }) {
    this.#name = nameOf(photo);
    this.#renditions = new Map(renditions.map((each) => [each.name, each]));
    this.#pictures.append(this.#trial, this.#today, make("i", { class: "compared-line", "aria-hidden": "true" }), this.#slider);
    this.#slider.addEventListener("input", () => this.#split());
    this.element = make("li", { class: "compared" },
      make("h4", {}, isolated(this.#name)),
      make("p", { class: "muted" }, factsOf(photo)),
      this.#pictures, this.#note,
      make("dl", { class: "compared-facts" },
        fact("left: today", this.#captions.today),
        fact("right: trial", this.#captions.trial),
        fact("all renditions", make("dd", {}, `${fileSize(today.file_size)} → ${fileSize(trial.file_size)} (${change(today.file_size, trial.file_size)})`)),
        fact("render time", make("dd", {}, `${milliseconds(today.seconds)} → ${milliseconds(trial.seconds)}`))));
    this.#split();
  }

  /** Show this rendition. */
  show(name) {
    const { today, trial } = this.#renditions.get(name) ?? { today: null, trial: null };
    const note = noteOf(today, trial);
    setText(this.#note, note);
    this.#note.hidden = !note;
    const shown = [today, trial].filter((each) => each?.image);
    this.#pictures.hidden = !shown.length;
    this.#pictures.classList.toggle("is-single", shown.length === 1);
    this.#slider.hidden = shown.length < 2;
    this.#slider.ariaLabel = `Today's thumbnail ${name} of ${isolatedName(this.#name)} against the trial's`;
    const width = Math.max(...shown.map((each) => each.width), 1);
    const height = Math.max(...shown.map((each) => each.height), 1);
    for (const [image, thumbnail, which] of [[this.#today, today, "today's recipe"], [this.#trial, trial, "the trial's"]]) {
      image.hidden = !thumbnail?.image;
      image.width = width;
      image.height = height;
      image.alt = shown.length === 1 ? `Thumbnail ${name} of ${isolatedName(this.#name)} by ${which}` : "";
      if (thumbnail?.image) image.src = `data:${thumbnail.content_type};base64,${thumbnail.image}`;
      else image.removeAttribute("src");
    }
    setText(this.#captions.today, today ? thumbnailFacts(today) : "not made");
    setText(this.#captions.trial, trial ? `${thumbnailFacts(trial)}${today ? ` (${change(today.file_size, trial.file_size)})` : ""}` : "not made");
  }

  #split() {
    const { value } = this.#slider;
    this.#pictures.style.setProperty("--split", `${value}%`);
    this.#slider.setAttribute("aria-valuetext", `${value} % today's, ${100 - value} % the trial's`);
  }
}

/** The entry of a photo that could not be compared. */
export function failedEntry({ photo, error }) {
  const how = { today: "with today's recipe", trial: "with the trial's recipe" }[error.recipe] ?? "as its original was read";
  return make("li", { class: "compared is-failed" },
    make("h4", {}, isolated(nameOf(photo))),
    make("p", { class: "muted" }, factsOf(photo)),
    make("p", {}, make("b", {}, error.code), ` ${how}: `, isolated(error.message)));
}

function fact(name, value) {
  return make("div", {}, make("dt", {}, name), value);
}

function noteOf(today, trial) {
  if (!today) return "Only the trial has this rendition.";
  if (!trial) return "The trial does not have this rendition.";
  return today.image && trial.image ? "" : "Too many bytes to be shown here.";
}

function factsOf(photo) {
  return [String(photo.content_type ?? "").replace("image/", ""), dimensions(photo), fileSize(photo.file_size)].filter(Boolean).join(", ");
}

function thumbnailFacts(thumbnail) {
  return `${fileSize(thumbnail.file_size)}, ${dimensions(thumbnail)}, ${thumbnail.content_type.replace("image/", "")}`;
}
