/** Tries another recipe on some photos of the workspace, and shows what it makes of them. Nothing is stored. */

import { button, byId, isolated, make, setText } from "../page/elements.js";
import { photos } from "../page/format.js";
import { ComparedPhoto, failedEntry } from "./compared_photo.js";
import { RecipeForm } from "./recipe_form.js";
import { sentenceOf, takesPanel, totalTable } from "./trial_total.js";

const SAMPLE = 8;

export class RecipeTrial {
  #client;
  #workspace;
  #form = new RecipeForm();
  #number = make("input", { type: "number", min: "1", max: "20", value: String(SAMPLE), required: true });
  #same = make("input", { type: "checkbox" });
  #sameLabel = make("label", { class: "trial-same", hidden: true }, this.#same, " the same photos as before");
  #start = make("button", { type: "submit", class: "primary" }, "Start");
  #cancel = button("Cancel", "plain", () => this.#abort.abort());
  #progress = make("progress", { "aria-label": "Photos compared", hidden: true });
  #note = make("p", { class: "retries-note", role: "status" });
  #total = make("div", { class: "trial-total" });
  #choices = make("div", { class: "choices", role: "group", "aria-label": "Show the rendition", hidden: true });
  #list = make("ul", { class: "compared-list", "aria-label": "Photos by both recipes" });
  #abort = new AbortController();
  #isRunning = false;
  #compared = [];
  #ids = [];
  /** The photos of the last trial that was not cancelled. */
  #sample = [];
  #shown = "";

  /** `workspace`: whose photos are tried. */
  constructor(container, { client, workspace }) {
    this.#client = client;
    this.#workspace = workspace;
    const form = make("form", { class: "trial-form", "aria-label": "Recipe to try" },
      make("p", { class: "muted" }, "Renders some of this workspace's newest ready photos by today's recipe and by this one, on this api's machine. Nothing is stored."),
      this.#form.element,
      make("div", { class: "trial-sample" },
        make("label", {}, "Photos of ", isolated(workspace), " ", this.#number), this.#sameLabel,
        button("Fill in today's recipe", "plain", () => this.#fill())),
      make("div", { class: "retries" }, this.#start, this.#cancel, this.#progress, this.#note));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#run();
    });
    container.append(form, this.#total, this.#choices, this.#list);
    container.addEventListener("toggle", () => container.open && this.#form.isEmpty && this.#fill());
    this.#cancel.hidden = true;
  }

  async #fill() {
    try {
      this.#form.fill((await this.#client.recipes()).renditions);
      this.#say("");
    } catch (problem) {
      this.#say(`Today's recipe could not be loaded: ${problem.message}`);
    }
  }

  async #run() {
    if (this.#isRunning || this.#form.isEmpty) return;
    this.#setRunning(true);
    this.#abort = new AbortController();
    this.#say("Starting…");
    const chosen = this.#same.checked && this.#sample.length ? { photo_ids: this.#sample } : { photos: this.#number.valueAsNumber };
    try {
      const lines = this.#client.tryRecipe({ renditions: this.#form.read(), ...chosen }, { signal: this.#abort.signal });
      let line;
      for await (line of lines) this.#take(line);
      if (line?.type !== "total") this.#say("The trial has broken off.");
    } catch (problem) {
      this.#say(problem.name === "AbortError" ? "Cancelled." : problem.message);
    }
    this.#setRunning(false);
  }

  #take(line) {
    if (line.type === "start") this.#clear(line.photos);
    if (line.type === "photo") this.#addPhoto(line);
    if (line.type === "total") this.#showTotal(line);
  }

  #clear(number) {
    this.#compared = [];
    this.#ids = [];
    this.#total.replaceChildren();
    this.#list.replaceChildren();
    this.#choices.hidden = true;
    this.#progress.max = number;
    this.#sayProgress();
  }

  #addPhoto(line) {
    this.#ids.push(line.photo.id);
    if (line.error) {
      this.#list.append(failedEntry(line));
    } else {
      const compared = new ComparedPhoto(line);
      this.#compared.push(compared);
      if (this.#choices.hidden) this.#offer(line.renditions.map(({ name }) => name));
      compared.show(this.#shown);
      this.#list.append(compared.element);
    }
    this.#sayProgress();
  }

  /** Offer the renditions: the one shown before stays, else the last one, which is mostly the largest. */
  #offer(names) {
    if (!names.includes(this.#shown)) this.#shown = names.at(-1);
    const choices = names.map((name) => button(isolated(name), "choice", () => this.#choose(name), { "data-name": name }));
    this.#choices.replaceChildren(...choices);
    this.#choices.hidden = false;
    this.#choose(this.#shown);
  }

  #choose(name) {
    this.#shown = name;
    for (const choice of this.#choices.children) choice.setAttribute("aria-pressed", String(choice.dataset.name === name));
    for (const compared of this.#compared) compared.show(name);
  }

  #showTotal(total) {
    this.#say(sentenceOf(total));
    this.#sample = this.#ids;
    this.#sameLabel.hidden = false;
    this.#same.checked = true;
    if (!total.photos) return;
    this.#total.replaceChildren(make("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Both recipes" }, totalTable(total, this.#workspace)), takesPanel(total, this.#workspace));
  }

  #sayProgress() {
    this.#progress.value = this.#ids.length;
    this.#say(`${this.#ids.length} of ${photos(this.#progress.max)}`);
  }

  #setRunning(isRunning) {
    const hadFocus = [this.#start, this.#cancel].includes(document.activeElement);
    this.#isRunning = isRunning;
    this.#start.hidden = isRunning;
    this.#cancel.hidden = this.#progress.hidden = !isRunning;
    if (hadFocus) (isRunning ? this.#cancel : this.#start).focus();
  }

  #say(text) {
    setText(this.#note, text);
  }
}
