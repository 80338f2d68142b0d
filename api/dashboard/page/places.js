/** The places of the page: the links to them, which of them is shown, and what leads there and back. */

import { addressOf, readAddress } from "./address.js";
import { byId, setText } from "./elements.js";
import { count } from "./format.js";

export class Places {
  #nav = byId("places");
  #links = [...this.#nav.querySelectorAll("[data-place]")];
  #workspace;
  #onShow;
  #shown = null;

  /** `onShow(place, address)` is called for the place in the address, and for each that is gone to. */
  constructor(workspace, { onShow }) {
    this.#workspace = workspace;
    this.#onShow = onShow;
    for (const link of this.#links) link.href = addressOf({ workspace, place: link.dataset.place });
    document.addEventListener("click", (event) => this.#onClick(event));
    window.addEventListener("popstate", () => this.#show());
  }

  /** The name of the place that is shown. */
  get shown() {
    return this.#shown;
  }

  /** Show the place in the page's address. */
  start() {
    this.#show();
  }

  /** Go to a place, with these filters. Does nothing for one that is not offered. */
  go(place, filters = {}) {
    if (!this.isOffered(place)) return;
    window.history.pushState(null, "", addressOf({ workspace: this.#workspace, place, ...filters }));
    this.#show();
    window.scrollTo(0, 0);
    this.#titleOf(place)?.focus({ preventScroll: true });
  }

  /** Offer a place, or no longer. */
  offer(place, isOffered) {
    this.#links.find((link) => link.dataset.place === place).hidden = !isOffered;
  }

  /** Whether there is a link to this place. */
  isOffered(place) {
    return !this.#links.find((link) => link.dataset.place === place).hidden;
  }

  /** Show a number at the link to a place; `null`: not known. */
  setCount(place, number) {
    const element = this.#nav.querySelector(`[data-count="${place}"]`);
    setText(element, number === null ? "" : count(number));
    element.classList.toggle("is-none", !number);
  }

  /** A link to a place of this workspace does not load the page again. */
  #onClick(event) {
    const link = event.target.closest?.("a[data-place]");
    if (!link || event.button || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const { place, status, filters } = readAddress(new URL(link.href).search);
    this.go(place, { status, ...filters });
  }

  #show() {
    const address = readAddress();
    const { place } = address;
    this.#shown = place;
    for (const section of document.querySelectorAll("[data-of-place]")) section.hidden = section.dataset.ofPlace !== place;
    for (const link of this.#links) {
      if (link.dataset.place === place) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const title = this.#titleOf(place);
    byId("skip").href = title ? `#${title.id}` : "#photo-grid";
    setText(byId("skip"), `Skip to the ${title ? title.textContent.toLowerCase() : "photos"}`);
    this.#onShow(place, { ...address, title: title?.textContent ?? "" });
  }

  /** The heading of a place; the photos have none. */
  #titleOf(place) {
    return document.querySelector(`[data-of-place="${place}"] > h2`);
  }
}

/** A place that is only for admins of every workspace: it loads nothing before it is offered. `load()` loads it anew. */
export class PlaceForAdmins {
  #isOffered = false;
  #isShown = false;

  /** Whether the caller may see it. */
  setOffered(isOffered) {
    const isNew = isOffered && !this.#isOffered;
    this.#isOffered = isOffered;
    if (isNew && this.#isShown) this.refresh();
  }

  show() {
    this.#isShown = true;
    this.refresh();
  }

  hide() {
    this.#isShown = false;
  }

  /** Load again. */
  refresh() {
    if (this.#isOffered) this.load();
  }

  /** Whether it is shown to somebody who may see it. */
  get isLive() {
    return this.#isShown && this.#isOffered;
  }
}
