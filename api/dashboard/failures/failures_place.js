/** The place of failures: failed photos by error code, and those of one format or one producer only. */

import { addressOf } from "../page/address.js";
import { byId, isolated, make, replaceLinks, setText } from "../page/elements.js";
import { count, photos, visible } from "../page/format.js";
import { FailureGroup } from "./failure_group.js";

/** While photos fail, the groups are loaded at most once in this time. */
const MIN_RELOAD_MS = 2000;

export class FailuresPlace {
  #workspace;
  #client;
  #onOpen;
  #groups = new Map();
  #answer = null;
  #problem = null;
  #filters = { code: "", type: "", producer: "" };
  #isShown = false;
  #failed = null;
  #timer = 0;
  #mayRetry = false;

  /** `onOpen(photo)` is called for a photo that is clicked. */
  constructor(workspace, { client, onOpen }) {
    this.#workspace = workspace;
    this.#client = client;
    this.#onOpen = onOpen;
  }

  /** Whether the caller may render photos again. */
  setMayRetry(mayRetry) {
    if (mayRetry === this.#mayRetry) return;
    this.#mayRetry = mayRetry;
    this.#groups.clear();
    this.#draw();
  }

  show({ code, type, producer }) {
    if (producer !== this.#filters.producer) this.#answer = null;
    this.#filters = { code, type, producer };
    this.#isShown = true;
    this.#draw();
    return this.refresh();
  }

  hide() {
    this.#isShown = false;
  }

  /** Load the groups again. */
  async refresh() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const { producer } = this.#filters;
    try {
      const answer = await this.#client.failures(producer);
      if (producer !== this.#filters.producer) return;
      this.#answer = answer;
      this.#problem = null;
    } catch (problem) {
      this.#problem = problem;
    }
    this.#draw();
  }

  /** So many photos have failed in this workspace. */
  setFailed(failed) {
    if (failed === this.#failed) return;
    this.#failed = failed;
    this.#reloadLater();
  }

  /** A photo has changed. */
  notePhoto(photo) {
    for (const group of this.#groups.values()) group.notePhoto(photo);
  }

  /** Once a second: update the times. */
  tick() {
    if (this.#isShown) for (const group of this.#groups.values()) group.tick();
  }

  #reloadLater() {
    if (this.#isShown) this.#timer ||= setTimeout(() => this.refresh(), MIN_RELOAD_MS);
  }

  #draw() {
    const groups = this.#answer ? merge(this.#answer.groups, this.#filters) : [];
    this.#drawNote(groups);
    this.#drawChoices();
    const codes = new Set(groups.map(({ code }) => code));
    for (const code of this.#groups.keys()) if (!codes.has(code)) this.#groups.delete(code);
    const elements = groups.map((group) => {
      let shown = this.#groups.get(group.code);
      if (!shown) {
        shown = new FailureGroup(group.code, {
          workspace: this.#workspace,
          client: this.#client,
          onOpen: this.#onOpen,
          mayRetry: this.#mayRetry,
        });
        this.#groups.set(group.code, shown);
      }
      shown.show(group, (producer) => this.#addressWith({ producer }));
      return shown.element;
    });
    const root = byId("failure-groups");
    // A move takes the focus, so the elements are only put in place where they differ.
    if (elements.length !== root.children.length || elements.some((element, at) => element !== root.children[at])) root.replaceChildren(...elements);
  }

  #drawNote(groups) {
    const note = byId("failures-note");
    if (this.#problem) return setText(note, `The failures could not be loaded: ${this.#problem.message}`);
    if (!this.#answer) return setText(note, "Loading…");
    const { code, type, producer } = this.#filters;
    if (code || type || producer) {
      const what = [code, type && typeName(type), producer].filter(Boolean).join(", ");
      const all = make("a", { href: addressOf({ workspace: this.#workspace, place: "failures" }), "data-place": "failures" }, "Show all failures");
      return note.replaceChildren("Only ", isolated(what), groups.length ? ". " : ": no failed photo. ", all);
    }
    const { failed } = this.#answer;
    if (!failed) return setText(note, "No photo has failed.");
    const reasons = `${count(groups.length)} ${groups.length === 1 ? "reason" : "reasons"}`;
    return setText(note, `${photos(failed)} failed, for ${reasons}.`);
  }

  #drawChoices() {
    const [types, producers] = [new Map(), new Map()];
    for (const group of this.#answer?.groups ?? []) {
      const { code, content_type: type } = group;
      if (this.#filters.code && code !== this.#filters.code) continue;
      if (type) add(types, type, group.count);
      if (this.#filters.type && type !== this.#filters.type) continue;
      for (const { producer, count: number } of group.producers) if (producer) add(producers, producer, number);
    }
    this.#drawChoicesOf("type", byId("failure-types"), "all formats", types, typeName);
    this.#drawChoicesOf("producer", byId("failure-producers"), "all producers", producers, String);
  }

  /** Links that set the filter `name`, each with how many photos it has. */
  #drawChoicesOf(name, root, all, sums, label) {
    const chosen = this.#filters[name];
    const choice = (value, text, number) =>
      make("a", {
        class: "choice",
        href: this.#addressWith({ [name]: value }),
        "data-place": "failures",
        "aria-current": value === chosen ? "true" : null,
      }, isolated(text), " ", number === null ? null : make("span", { class: "choice-count" }, count(number)));
    root.hidden = sums.size < 2 && !chosen;
    replaceLinks(
      root,
      choice("", all, null),
      ...[...sums].sort(([, left], [, right]) => right - left).map(([value, number]) => choice(value, label(value), number)),
    );
  }

  #addressWith(filters) {
    return addressOf({ workspace: this.#workspace, place: "failures", ...this.#filters, ...filters });
  }
}

/** The groups of one code each, the largest first, of those that meet the filters. */
function merge(groups, { code: wantedCode, type: wantedType, producer }) {
  const byCode = new Map();
  for (const group of groups) {
    if ((wantedCode && group.code !== wantedCode) || (wantedType && group.content_type !== wantedType)) continue;
    const known = byCode.get(group.code) ?? {
      code: group.code, count: 0, hasMore: false, firstAt: null, lastAt: null, samples: [], producers: new Map(), contentType: wantedType, producer,
    };
    for (const each of group.producers) add(known.producers, each.producer, each.count);
    byCode.set(group.code, {
      ...known,
      count: known.count + group.count,
      hasMore: known.hasMore || group.has_more,
      firstAt: [known.firstAt, group.first_at].filter(Boolean).sort()[0] ?? null,
      lastAt: [known.lastAt, group.last_at].filter(Boolean).sort().at(-1) ?? null,
      samples: [...known.samples, ...group.samples],
    });
  }
  for (const group of byCode.values()) {
    group.samples.sort((left, right) => ((left.status_changed_at ?? "") < (right.status_changed_at ?? "") ? 1 : -1));
    group.producers = new Map([...group.producers].sort(([, left], [, right]) => right - left));
  }
  return [...byCode.values()].sort((left, right) => right.count - left.count || (left.code < right.code ? -1 : 1));
}

function add(sums, name, number) {
  sums.set(name, (sums.get(name) ?? 0) + number);
}

function typeName(type) {
  return visible(type).replace(/^image\//, "");
}
