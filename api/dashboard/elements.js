/** The page's elements: found by id, or made. Text goes in as text; nothing here parses markup. */

import { harmless } from "./wording.js";

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

/** Set the text of `element` if it differs, so that an unchanged text costs no layout and is not read out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A text of somebody else's within our own: its direction is its own and turns nothing around it. */
export function isolated(text, attributes = {}) {
  return make("bdi", attributes, harmless(text));
}

/** The path of `address` on this origin, else `null`: what the server sends never leads elsewhere. */
export function ownAddress(address) {
  if (typeof address !== "string" || !address) return null;
  try {
    const url = new URL(address, window.location.origin);
    const isOurs = url.origin === window.location.origin && /^https?:$/.test(url.protocol);
    return isOurs ? url.pathname + url.search : null;
  } catch {
    return null;
  }
}
