/** Keyboard shortcuts: single keys, and pairs of keys pressed one after the other. */

import { byId, make } from "./elements.js";

/** The second key of a pair counts for this long. */
const PAIR_MS = 1500;
const STORED = "thumbstream-keys";

/**
 * Calls the action of the keys that are pressed, and shows all of them at `?` and at the button.
 *
 * `shortcuts`: `{keys: "g p", text, act, isOffered}`. Keys do nothing in text fields, in dialogs and with a modifier. They
 * can be turned off, since speech input may send them unintended. Source: WCAG 2.2, 2.1.4 Character Key Shortcuts.
 */
export function initKeyboard(shortcuts) {
  const dialog = byId("keys");
  const isOn = byId("keys-on");
  isOn.checked = localStorage.getItem(STORED) !== "off";
  isOn.addEventListener("change", () => localStorage.setItem(STORED, isOn.checked ? "on" : "off"));

  function showKeys() {
    byId("keys-list").replaceChildren(
      ...offered().map(({ keys, text }) =>
        make("div", {}, make("dt", {}, ...keys.split(" ").flatMap((key, at) => [at ? " " : "", make("kbd", {}, key)])), make("dd", {}, text))),
    );
    dialog.showModal();
  }

  const all = [...shortcuts, { keys: "?", text: "Show these shortcuts", act: showKeys }];
  const offered = () => all.filter(({ isOffered = () => true }) => isOffered());

  let first = "";
  let firstAt = 0;
  document.addEventListener("keydown", (event) => {
    if (!isOn.checked || event.defaultPrevented || isElsewhere(event)) return;
    const pair = performance.now() - firstAt < PAIR_MS ? `${first} ${event.key}` : "";
    const found = offered().find(({ keys }) => keys === pair) ?? offered().find(({ keys }) => keys === event.key);
    first = found ? "" : event.key;
    firstAt = performance.now();
    if (!found) return;
    event.preventDefault();
    found.act();
  });
  byId("show-keys").addEventListener("click", showKeys);
}

function isElsewhere({ target, altKey, ctrlKey, metaKey, isComposing }) {
  const isTyped = target.closest?.("input:not([type=checkbox], [type=range]), textarea, select, [contenteditable]");
  return altKey || ctrlKey || metaKey || isComposing || isTyped || document.querySelector("dialog[open]");
}
