/** The place of workspaces: what each has, and how much of its quota that is. For admins of every workspace. */

import { addressOf } from "../page/address.js";
import { byId, isolated, make, setText } from "../page/elements.js";
import { count, fileSize } from "../page/format.js";
import { PlaceForAdmins } from "../page/places.js";

/** What is wrong first: a narrow screen does not show all columns at once. */
const STATUSES = ["failed", "pending", "processing", "ready"];
const COLUMNS = ["workspace", ...STATUSES, "photos", "bytes"];

export class WorkspacesPlace extends PlaceForAdmins {
  #client;
  #current;
  #items = [];
  #cursor = "";

  /** `current`: the workspace of this page. */
  constructor(current, { client }) {
    super();
    this.#current = current;
    this.#client = client;
    byId("workspaces-more").addEventListener("click", () => this.#loadPage());
  }

  /** Load the first page again. */
  load() {
    this.#cursor = "";
    this.#loadPage();
  }

  async #loadPage() {
    const isFirst = !this.#cursor;
    try {
      const page = await this.#client.workspaces(this.#cursor);
      this.#items = isFirst ? page.items : [...this.#items, ...page.items];
      this.#cursor = page.next_cursor ?? "";
      setText(byId("workspaces-note"), noteOf(this.#items, Boolean(this.#cursor)));
    } catch (problem) {
      setText(byId("workspaces-note"), `The workspaces could not be loaded: ${problem.message}`);
      return;
    }
    byId("workspaces-more").hidden = !this.#cursor;
    byId("workspaces-scroll").replaceChildren(this.#table());
  }

  #table() {
    const head = make("tr", {}, ...COLUMNS.map((name) => make("th", { scope: "col", "data-status": STATUSES.includes(name) ? name : null }, name)));
    return make("table", { class: "workspaces" }, make("thead", {}, head), make("tbody", {}, ...this.#items.map((item) => this.#row(item))));
  }

  #row({ id, counts, photos, bytes, max_photos: maxPhotos, max_bytes: maxBytes }) {
    const link = make("a", { href: addressOf({ workspace: id, place: "photos" }), "aria-current": id === this.#current ? "true" : null }, isolated(id));
    const cells = STATUSES.map((status) => {
      const number = counts[status] ?? 0;
      const shown = status === "failed" && number ? make("a", { href: addressOf({ workspace: id, place: "failures" }) }, count(number)) : count(number);
      return make("td", { "data-status": status, class: number ? null : "is-none" }, shown);
    });
    return make("tr", {}, make("th", { scope: "row" }, link), ...cells,
      make("td", {}, count(photos), quotaOf(photos, maxPhotos, count)),
      make("td", {}, fileSize(bytes), quotaOf(bytes, maxBytes, fileSize)));
  }
}

/** "of 1,000" with a bar, for what has a quota. */
function quotaOf(number, max, format) {
  if (max === null) return null;
  return make("span", { class: "quota" }, ` of ${format(max)}`,
    make("meter", { min: "0", max: String(Math.max(1, max)), high: String(max * 0.9), value: String(number), "aria-label": `${format(number)} of ${format(max)}` }));
}

function noteOf(items, hasMore) {
  if (!items.length) return "There is no photo in any workspace.";
  return `${count(items.length)}${hasMore ? " or more" : ""} ${items.length === 1 ? "workspace" : "workspaces"}, by name.`;
}
