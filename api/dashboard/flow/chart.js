/** One chart: lines over a time axis, drawn as SVG paths that are stretched to its size. */

import { make, setText } from "../page/elements.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
/** In units of the SVG's viewBox. */
const WIDTH = 1000;
const HEIGHT = 100;

export class Chart {
  /** Title and values; beside or above the plot. */
  head;
  plot;
  #readings = new Map();
  #svg;
  #paths = new Map();
  #top = make("span", { class: "chart-top", "aria-hidden": "true" });
  #lines;
  #format;

  /** `lines`: `{name, label, isFilled, hidesZero}` in the order of drawing; `format(value)`: a value with its unit. */
  constructor({ title, lines, format }) {
    this.#lines = lines;
    this.#format = format;
    this.#svg = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    for (const { name, isFilled } of lines) {
      if (isFilled) this.#paths.set(`${name} area`, this.#svg.appendChild(svg("path", { class: `chart-area chart-${name}` })));
      this.#paths.set(name, this.#svg.appendChild(svg("path", { class: `chart-line chart-${name}` })));
    }
    const readings = lines.map(({ name, label }) => {
      const value = make("b", {});
      this.#readings.set(name, value);
      return make("div", { class: `chart-reading chart-${name}` }, make("dt", {}, make("i", { class: "chart-key", "aria-hidden": "true" }), label), make("dd", {}, value));
    });
    this.head = make("div", { class: "chart-head" }, make("h3", {}, title), make("dl", {}, ...readings));
    this.plot = make("div", { class: "chart-plot" }, this.#svg, this.#top, make("span", { class: "chart-bottom", "aria-hidden": "true" }, "0"));
    this.title = title;
  }

  /** Draw `series`: by the name of a line its values, `null` where there is none. */
  draw(series) {
    const values = this.#lines.flatMap(({ name }) => series[name].filter((value) => value !== null));
    const highest = values.length ? Math.max(...values) : 0;
    const top = roundUp(highest);
    setText(this.#top, values.length ? this.#format(top) : "");
    for (const { name, isFilled, hidesZero } of this.#lines) {
      const shown = hidesZero ? withoutZeros(series[name]) : series[name];
      const points = shown.map((value, at, all) => (value === null ? null : [(at / (all.length - 1)) * WIDTH, HEIGHT - (value / top) * HEIGHT]));
      const runs = runsOf(points);
      this.#paths.get(name).setAttribute("d", runs.map((run) => `M${run.map(text).join("L")}${run.length === 1 ? "h0" : ""}`).join(""));
      if (isFilled) {
        this.#paths.get(`${name} area`).setAttribute("d", runs.map((run) => `M${run[0][0].toFixed(1)} ${HEIGHT}L${run.map(text).join("L")}L${run.at(-1)[0].toFixed(1)} ${HEIGHT}Z`).join(""));
      }
    }
    const summary = values.length ? `${this.title}: at most ${this.#format(highest)}` : `${this.title}: nothing yet`;
    this.#svg.setAttribute("aria-label", `${summary}. The table has all values.`);
  }

  /** Show the values of one slot. */
  read(series, slot) {
    for (const [name, element] of this.#readings) setText(element, this.textOf(series[name][slot]));
  }

  /** The values of one slot as a sentence. */
  sentenceOf(series, slot) {
    return this.#lines.map(({ name, label }) => `${label} ${this.textOf(series[name][slot])}`).join(", ");
  }

  /** One value. */
  textOf(value) {
    return value === null ? "–" : this.#format(value);
  }
}

/** The values, without the zeros that have no other value beside them: nothing is drawn there. */
function withoutZeros(values) {
  return values.map((value, at) => (value || values[at - 1] || values[at + 1] ? value : null));
}

/** The next round number. */
function roundUp(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((top) => top >= value * 0.999);
}

/** The points in runs without gaps. */
function runsOf(points) {
  const runs = [[]];
  for (const point of points) {
    if (point) runs.at(-1).push(point);
    else if (runs.at(-1).length) runs.push([]);
  }
  return runs.filter((run) => run.length);
}

function text([x, y]) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}

function svg(name, attributes) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  return element;
}
