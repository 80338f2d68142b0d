/** Ready photos by the recipe of their thumbnails, and rendering those again that were made by another than today's. */

import { button, isolated, make, setText } from "../page/elements.js";
import { count, photos } from "../page/format.js";
import { OneAtATime } from "../page/one_at_a_time.js";
import { retryAll } from "../server/retry_all.js";

const STALE = { recipe: "stale" };

export class StalePhotos {
  #client;
  #list = make("ul", { class: "recipes" });
  #note = make("p", { class: "retries-note", role: "status" });
  #again = button("", "", () => this.#work.run(() => this.#ask()));
  #confirm = button("", "primary", () => this.#work.run(() => this.#send()));
  #cancel = button("Cancel", "plain", () => this.#stop());
  #work = new OneAtATime([this.#again, this.#confirm], (problem) => {
    this.#say(problem.message);
    this.#showButtons(false);
  });
  #isStopped = false;
  #stale = 0;

  constructor(container, client) {
    this.#client = client;
    container.append(this.#list, make("div", { class: "retries" }, this.#again, this.#confirm, this.#cancel, this.#note));
    this.#showButtons(false);
  }

  /** Count the photos again. */
  async refresh() {
    try {
      const { recipe, items } = await this.#client.recipes();
      this.#stale = items.reduce((sum, item) => sum + (item.recipe === recipe ? 0 : item.photos), 0);
      this.#list.replaceChildren(...items.map((item) => lineOf(item, recipe)));
      if (!items.length) this.#list.replaceChildren(make("li", { class: "muted" }, "No photo is ready yet."));
    } catch (problem) {
      this.#list.replaceChildren(make("li", { class: "muted" }, `The recipes could not be loaded: ${problem.message}`));
    }
    setText(this.#again, `Render ${photos(this.#stale)} again…`);
    if (!this.#work.isBusy && this.#confirm.hidden) this.#showButtons(false);
  }

  /** Say how many they are, and ask whether to go on. */
  async #ask() {
    this.#say("Counting…");
    const { count: number } = await this.#client.retryEverywhere({ ...STALE, dry_run: true });
    if (!number) {
      this.#say("No photo is stale any more.");
      await this.refresh();
      return;
    }
    this.#say(`This renders ${photos(number)} of all workspaces again. Until then they show the thumbnails that they have.`);
    setText(this.#confirm, `Render ${photos(number)} again`);
    this.#showButtons(true);
  }

  async #send() {
    this.#isStopped = false;
    setText(this.#cancel, "Stop");
    const sent = await retryAll((body) => this.#client.retryEverywhere(body), STALE, {
      onPage: (number, hasMore) => {
        this.#say(hasMore ? `${photos(number)} sent; the others follow as these are done. Keep this page open.` : `${photos(number)} sent.`);
        this.refresh();
      },
      isStopped: () => this.#isStopped,
    });
    if (this.#isStopped) this.#say(`Stopped: ${photos(sent)} sent.`);
    await this.refresh();
    this.#showButtons(false);
  }

  #stop() {
    this.#isStopped = true;
    if (this.#work.isBusy) return;
    this.#say("");
    this.#showButtons(false);
  }

  #showButtons(isAsking) {
    const hadFocus = this.#cancel.parentElement.contains(document.activeElement);
    this.#again.hidden = isAsking || !this.#stale;
    this.#confirm.hidden = this.#cancel.hidden = !isAsking;
    setText(this.#cancel, "Cancel");
    if (hadFocus) (isAsking ? this.#confirm : this.#again).focus();
  }

  #say(text) {
    setText(this.#note, text);
  }
}

function lineOf({ recipe, photos: number }, today) {
  const isToday = recipe === today;
  return make("li", { class: isToday ? null : "is-stale" },
    make("code", {}, recipe === null ? "not known" : isolated(recipe)),
    make("span", {}, `${count(number)} ${number === 1 ? "photo" : "photos"}`),
    make("span", { class: "muted" }, isToday ? "today's recipe" : "stale"));
}
