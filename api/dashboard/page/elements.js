/** Finds and creates DOM elements. Text is inserted as text; nothing here parses markup. */

import { visible } from "./format.js";

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element; `attributes` as in markup, children are elements or strings. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value != null && value !== false) element.setAttribute(attribute, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** A new button; `attributes` as in markup. */
export function button(label, className, onClick, attributes = {}) {
  const element = make("button", { type: "button", class: className, ...attributes }, label);
  element.addEventListener("click", onClick);
  return element;
}

/** Set the text of `element` only if it differs: no layout, and screen readers do not repeat it. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A `bdi` element with text from outside, whose direction does not affect the text around it. */
export function isolated(text) {
  return make("bdi", {}, visible(text));
}

/** Replace what is in `root`; the focus stays on the link to the same address, if there is one. */
export function replaceLinks(root, ...children) {
  const focused = root.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  root.replaceChildren(...children);
  if (focused) root.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
}

/** The URL of the API at `path`, which has no slash at its beginning: below the path prefix of this page, if it has one. */
export function apiUrl(path) {
  return new URL(path, document.baseURI).href;
}

/**
 * The path and query of `url`, a URL of the API, on the server of this page, else `null`.
 *
 * Data from the server never links elsewhere, and the page may be open by another address than the public URL.
 */
export function localPath(url) {
  if (typeof url !== "string" || !url) return null;
  try {
    const { protocol, pathname, search } = new URL(url, document.baseURI);
    const start = pathname.lastIndexOf("/v1/workspaces/");
    if (start < 0 || !/^https?:$/.test(protocol)) return null;
    return new URL(apiUrl(pathname.slice(start + 1))).pathname + search;
  } catch {
    return null;
  }
}
