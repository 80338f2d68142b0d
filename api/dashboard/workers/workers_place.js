/** The place of workers: who is alive, what each renders, and which photos are of another recipe. For admins of all. */

import { RenderSlots } from "../flow/render_slots.js";
import { byId, isolated, make, setText } from "../page/elements.js";
import { count, duration } from "../page/format.js";
import { PlaceForAdmins } from "../page/places.js";
import { RecipeTrial } from "../recipe/recipe_trial.js";
import { StalePhotos } from "./stale_photos.js";

const COLUMNS = ["worker", "slots", "waiting", "partitions", "version", "recipe", "running for", "last heartbeat"];
/** With the ticks: every two seconds, as heartbeats are sent. */
const RELOAD_MS = 1500;
/** More slots are told as numbers only. */
const MAX_CELLS = 32;

export class WorkersPlace extends PlaceForAdmins {
  #client;
  #slots;
  #stale;
  #isLoading = false;
  #loadedAt = 0;
  #drawn = "";

  /** `workspace`: the one of this page; `onOpen(photo)` is called for one of its photos that is clicked. */
  constructor(workspace, { client, onOpen }) {
    super();
    this.#client = client;
    this.#slots = new RenderSlots(byId("workers-slots"), { workspace, onOpen });
    this.#stale = new StalePhotos(byId("workers-stale"), client);
    new RecipeTrial(byId("recipe-trial"), { client, workspace });
  }

  load() {
    this.#stale.refresh();
    this.#load();
  }

  /** Once a second, while the page can be seen. */
  tick() {
    if (!this.isLive) return;
    this.#slots.tick();
    if (performance.now() - this.#loadedAt >= RELOAD_MS) this.#load();
  }

  async #load() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      this.#draw(await this.#client.workers());
    } catch (problem) {
      setText(byId("workers-note"), `The workers could not be loaded: ${problem.message}`);
    } finally {
      this.#isLoading = false;
      this.#loadedAt = performance.now();
    }
  }

  #draw({ items, recipe, unknown_reason: unknownReason }) {
    setText(byId("workers-note"), noteOf(items, unknownReason));
    this.#slots.show(items);
    byId("workers-slots-title").hidden = !items.some(({ is_silent: isSilent, slots }) => !isSilent && slots);
    const drawn = JSON.stringify([items, recipe]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    byId("workers-scroll").replaceChildren(...(items.length ? [tableOf(items, recipe)] : []));
  }
}

/** How many workers live, in a sentence. */
export function noteOf(items, unknownReason) {
  if (unknownReason) return `It is not known which workers there are: ${unknownReason}.`;
  const silent = items.filter(({ is_silent: isSilent }) => isSilent).length;
  const living = items.length - silent;
  if (!items.length) return "No worker is running. Photos wait until one is.";
  const silentOnes = `${workers(silent)} ${silent === 1 ? "is" : "are"} silent`;
  if (!living) return `No worker is running: ${silentOnes}. Photos wait until one is back.`;
  return `${workers(living)} ${living === 1 ? "is" : "are"} alive${silent ? `, ${silentOnes}` : ""}.`;
}

function workers(number) {
  return `${count(number)} ${number === 1 ? "worker" : "workers"}`;
}

function tableOf(items, recipe) {
  const head = make("tr", {}, ...COLUMNS.map((name) => make("th", { scope: "col" }, name)));
  return make("table", { class: "workspaces workers" }, make("thead", {}, head), make("tbody", {}, ...items.map((item) => rowOf(item, recipe))));
}

function rowOf(worker, today) {
  const { name, recipe, is_silent: isSilent, last_heartbeat_seconds: age } = worker;
  const told = (value) => (name === null ? "not told" : value);
  const heartbeat = isSilent ? `silent for ${duration(age)}` : `${duration(age)} ago`;
  return make("tr", { class: isSilent ? "is-silent" : null },
    make("th", { scope: "row" }, name === null ? "older worker" : isolated(name)),
    make("td", {}, ...(name === null ? ["not told"] : slotsOf(worker))),
    make("td", { class: worker.queued ? null : "is-none" }, told(count(worker.queued))),
    make("td", {}, told(partitionsOf(worker))),
    make("td", {}, told(isolated(worker.version))),
    make("td", { class: "worker-recipe" }, told(isolated(recipe)), recipe !== null && recipe !== today && make("b", {}, " not the api's")),
    make("td", {}, told(duration(worker.up_seconds ?? 0, { withMinutes: true }))),
    make("td", {}, heartbeat));
}

/** Each slot as a square, filled if a photo holds it. */
function slotsOf({ slots, busy, busy_count: busyCount }) {
  const text = `${count(busyCount)} of ${count(slots)} busy`;
  if (slots > MAX_CELLS || busyCount > busy.length) return [text];
  const held = new Set(busy.map(({ slot }) => slot));
  const cells = [...Array(slots).keys()].map((number) => make("i", { class: held.has(number) ? "is-busy" : null }));
  return [make("span", { class: "slot-cells", "aria-hidden": "true" }, ...cells), " ", text];
}

/** "0, 3, 6 and 2 more". */
function partitionsOf({ partitions, partition_count: number }) {
  if (!number) return "none: stands by";
  const shown = partitions.slice(0, 6);
  const more = number - shown.length;
  return `${shown.join(", ")}${more ? ` and ${count(more)} more` : ""}`;
}
