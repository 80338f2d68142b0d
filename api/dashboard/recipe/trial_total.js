/** What a trial has found in all, and what it takes to make its recipe today's. */

import { isolated, make } from "../page/elements.js";
import { count, fileSize, isolatedName, photos, visible } from "../page/format.js";
import { about, bytesInWords, change, milliseconds, timeInWords } from "./figures.js";

/** "31 % fewer bytes, 12 % slower": the sentence that comes first. */
export function sentenceOf({ photos: number, failed, today, trial }) {
  if (!number) return `No photo could be compared: ${photos(failed)} failed.`;
  const words = `${bytesInWords(today.file_size, trial.file_size)}, ${timeInWords(today.seconds, trial.seconds)}.`;
  return failed ? `${words} ${photos(failed)} could not be compared.` : words;
}

/** The figures of all photos together, by rendition. */
export function totalTable({ photos: number, today, trial, renditions }, workspace) {
  const row = (name, before, after, text) =>
    make("tr", {}, make("th", { scope: "row" }, name), ...[before, after].map((value) => make("td", {}, value === null ? "–" : text(value))),
      make("td", {}, before === null ? "new" : after === null ? "goes" : change(before, after)));
  const head = make("tr", {}, ...["", "today", "trial", "change"].map((name) => (name ? make("th", { scope: "col" }, name) : make("td"))));
  return make("table", { class: "workspaces trial-table" },
    make("caption", {}, `Of ${sampleText(number, workspace)}`),
    make("thead", {}, head),
    make("tbody", {},
      ...renditions.map(({ name, today: before, trial: after }) => row(isolated(name), before, after, fileSize)),
      row("all bytes", today.file_size, trial.file_size, fileSize),
      row("render time a photo", today.seconds / number, trial.seconds / number, milliseconds)));
}

/** What somebody has to do, and what it costs: for all workspaces, by the photos of one. */
export function takesPanel({ photos: number, setting, rerender }, workspace) {
  return make("section", { class: "trial-takes", "aria-labelledby": "trial-takes-title" },
    make("h4", { id: "trial-takes-title" }, "What it takes to make it the recipe"),
    make("ol", {},
      make("li", {}, "Set this at every worker and every api, and start them again:",
        make("pre", { tabindex: "0", "aria-label": "The setting" }, setting)),
      make("li", {}, staleSentence(rerender)),
      rerender.photos > 0 && make("li", {}, timeSentence(rerender, sampleText(number, workspace))),
      rerender.photos > 0 && make("li", {}, storageSentence(rerender))));
}

function sampleText(number, workspace) {
  return `${photos(number)} of ${isolatedName(visible(workspace))}`;
}

function staleSentence({ photos: number }) {
  if (!number) return "No ready photo of any workspace is stale then.";
  return `Photos that come after that are rendered by it. ${photos(number)} of all workspaces ${number === 1 ? "is" : "are"} stale then, and ${number === 1 ? "keeps its" : "keep their"} thumbnails until “Render again” above is chosen.`;
}

function timeSentence({ render_seconds: seconds, seconds: shared, slots, unknown_reason: reason }, sample) {
  const measured = `, by the time that this machine took for ${sample}. Photos of other workspaces may take more or less.`;
  if (shared === null) return `To render them again takes ${about(seconds)} of one render slot${measured} How many slots there are is not known: ${reason}.`;
  return `To render them again takes ${about(shared)} on the ${count(slots)} render ${slots === 1 ? "slot" : "slots"} of today's workers${slots === 1 ? "" : ` (${about(seconds)} of one)`}${measured}`;
}

function storageSentence({ new_bytes: written, byte_difference: difference }) {
  const after = difference ? `about ${fileSize(Math.abs(difference))} ${difference < 0 ? "less" : "more"} than today` : "as much as today";
  return `About ${fileSize(written)} are written. Storage has ${after} once “thumbstream sweep --repair” has erased the files that no photo names any more.`;
}
