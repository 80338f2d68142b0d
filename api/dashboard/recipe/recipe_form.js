/** The form of a recipe: a row for each rendition. */

import { button, make } from "../page/elements.js";

const FORMATS = ["webp", "jpeg", "avif", "png"];
const FITS = ["inside", "cover"];
/** As the API takes at most. */
const MAX_RENDITIONS = 12;
const MAX_EDGE = 7071;

export class RecipeForm {
  element = make("div", { class: "recipe-form" });
  #rows = make("div", { class: "recipe-rows" });
  #add = button("Add a rendition", "plain", () => this.#addRow({ name: "", max_edge: 1200 }, { isNew: true }));

  constructor() {
    this.element.append(this.#rows, this.#add);
  }

  get isEmpty() {
    return !this.#rows.childElementCount;
  }

  /** Fill in these renditions. */
  fill(renditions) {
    this.#rows.replaceChildren();
    for (const rendition of renditions) this.#addRow(rendition);
  }

  /** The renditions as they are filled in. */
  read() {
    return [...this.#rows.children].map((row) => {
      const { name, max_edge: maxEdge, fit, format, quality } = Object.fromEntries([...row.querySelectorAll("[name]")].map((input) => [input.name, input.value]));
      return { name, max_edge: Number(maxEdge), fit, format, quality: Number(quality), ...row.dataset };
    });
  }

  #addRow(rendition, { isNew = false } = {}) {
    const { name, max_edge: maxEdge, fit = FITS[0], format = FORMATS[0], quality = 75, background } = rendition;
    const legend = make("legend", { class: "visually-hidden" });
    const nameField = make("input", { name: "name", value: name, required: true, maxlength: "32", pattern: "[a-z0-9][a-z0-9_\\-]*", title: "Small letters, digits, _ and -, starting with a letter or digit", autocomplete: "off", spellcheck: "false" });
    const row = make("fieldset", { class: "recipe-row" }, legend,
      field("name", nameField),
      field("longest side, px", make("input", { name: "max_edge", type: "number", required: true, min: "1", max: MAX_EDGE, value: maxEdge })),
      field("fit", select("fit", FITS, fit)),
      field("format", select("format", FORMATS, format)),
      field("quality", make("input", { name: "quality", type: "number", required: true, min: "1", max: "100", value: quality })),
      button("Remove", "plain", () => this.#remove(row)));
    if (background) row.dataset.background = background;
    const showName = () => {
      legend.textContent = `Rendition ${nameField.value}`;
      row.lastChild.ariaLabel = `Remove the rendition ${nameField.value}`;
    };
    nameField.addEventListener("input", showName);
    showName();
    this.#rows.append(row);
    this.#showButtons();
    if (isNew) nameField.focus();
  }

  #remove(row) {
    const neighbour = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    this.#showButtons();
    neighbour.querySelector("button").focus();
  }

  /** A recipe has at least one rendition. */
  #showButtons() {
    const rows = [...this.#rows.children];
    for (const row of rows) row.lastChild.hidden = rows.length === 1;
    this.#add.hidden = rows.length >= MAX_RENDITIONS;
  }
}

function field(label, input) {
  return make("label", {}, make("span", {}, label), input);
}

function select(name, values, chosen) {
  return make("select", { name }, ...values.map((value) => make("option", { value, selected: value === chosen }, value)));
}
