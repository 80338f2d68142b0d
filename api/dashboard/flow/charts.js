/** Three charts on one time axis, with one line through all of them, marks above, and all values as a table. */

import { byId, isolated, make, setText } from "../page/elements.js";
import { count, duration } from "../page/format.js";
import { Chart } from "./chart.js";
import { percent, textOf, ticksOf } from "./marks.js";
import { TimeAxis } from "./time_axis.js";

const CHARTS = [
  {
    title: "Photos a minute",
    lines: [{ name: "ready_per_minute", label: "ready", isFilled: true }, { name: "failed_per_minute", label: "failed", hidesZero: true }],
    format: (value) => (value > 0 && value < 10 ? value.toFixed(1).replace(/\.0$/, "") : count(Math.round(value))),
  },
  {
    title: "Time to ready",
    lines: [{ name: "ready_seconds_p95", label: "95 of 100 within" }, { name: "ready_seconds_p50", label: "half within" }],
    format: precise,
  },
  {
    title: "Consumer lag",
    lines: [{ name: "lag", label: "uploads waiting, all workspaces", isFilled: true }],
    format: count,
  },
];

export class Charts {
  #root = byId("flow-charts");
  #cursor = byId("flow-cursor");
  #line = make("i", { class: "chart-cursor", hidden: true });
  #marks = make("div", { class: "chart-marks" });
  #axis = make("div", { class: "chart-axis", "aria-hidden": "true" });
  #charts = CHARTS.map((chart) => new Chart(chart));
  #figures = null;
  #times = null;
  /** The slot that is looked at; `null`: the last one. */
  #slot = null;

  constructor() {
    const over = make("div", { class: "chart-over", "aria-hidden": "true" }, this.#marks, this.#line);
    this.#root.append(...this.#charts.flatMap(({ head, plot }) => [head, plot]), this.#axis, over);
    this.#root.addEventListener("pointermove", (event) => this.#onPointer(event, over));
    this.#root.addEventListener("pointerleave", () => this.#look(null));
    this.#cursor.addEventListener("input", () => this.#look(Number(this.#cursor.value)));
    this.#cursor.addEventListener("blur", () => this.#look(null));
    byId("flow-table").addEventListener("toggle", () => this.#drawTable());
  }

  /** Draw an answer of the API. */
  draw(figures) {
    const isOther = figures.span !== this.#figures?.span;
    this.#figures = figures;
    this.#times = new TimeAxis(figures.span, figures.times, figures.step_seconds);
    for (const chart of this.#charts) chart.draw(figures);
    this.#axis.replaceChildren(...this.#times.labels().map(({ position, text }) => {
      const label = make("span", {}, text);
      label.style.left = percent(position);
      return label;
    }));
    this.#marks.replaceChildren(...ticksOf(figures.marks, this.#times));
    this.#cursor.max = String(this.#times.slots - 1);
    this.#look(isOther ? null : this.#slot);
    this.#drawTable();
    this.#drawMarks();
  }

  #onPointer({ clientX, pointerType, buttons }, over) {
    if (!this.#times || (pointerType === "touch" && !buttons)) return;
    const { left, width } = over.getBoundingClientRect();
    const position = (clientX - left) / width;
    this.#look(position < -0.01 ? null : this.#times.slotAt(position));
  }

  /** Show the values of a slot and put the line there; `null`: those of the last one, without a line. */
  #look(slot) {
    this.#slot = slot;
    if (!this.#times) return;
    const shown = slot ?? this.#times.slots - 1;
    this.#line.hidden = slot === null;
    this.#line.style.left = percent(shown / (this.#times.slots - 1));
    for (const chart of this.#charts) chart.read(this.#figures, shown);
    const name = this.#nameOf(shown);
    setText(byId("flow-time"), name);
    this.#cursor.value = String(shown);
    this.#cursor.setAttribute("aria-valuetext", `${name}: ${this.#charts.map((chart) => chart.sentenceOf(this.#figures, shown)).join(", ")}`);
  }

  #nameOf(slot) {
    return slot === this.#times.slots - 1 ? "now" : this.#times.nameOf(slot);
  }

  /** The values as a table, newest first, while it is open. */
  #drawTable() {
    if (!byId("flow-table").open || !this.#figures) return;
    const lines = this.#charts.flatMap((chart, at) => CHARTS[at].lines.map((line) => ({ ...line, chart })));
    const head = make("tr", {}, make("th", { scope: "col" }, "from"), ...lines.map(({ label }) => make("th", { scope: "col" }, label)));
    const rows = this.#figures.times.map((_, slot) =>
      make("tr", {}, make("th", { scope: "row" }, this.#times.nameOf(slot)), ...lines.map(({ name, chart }) => make("td", {}, chart.textOf(this.#figures[name][slot])))));
    byId("flow-table-scroll").replaceChildren(make("table", { class: "figures" }, make("thead", {}, head), make("tbody", {}, ...rows.reverse())));
  }

  /** What has happened, newest first. */
  #drawMarks() {
    const items = this.#figures.marks.map((mark) =>
      make("li", { "data-kind": mark.kind }, make("time", { datetime: mark.at }, this.#times.momentOf(Date.parse(mark.at))), " ", isolated(textOf(mark))));
    byId("flow-marks").replaceChildren(...items.reverse());
    byId("flow-no-marks").hidden = items.length > 0;
  }
}

/** A duration with two digits: 0.34 s, 1.2 s, 34 s, 5 min. */
function precise(seconds) {
  if (seconds < 10) return `${seconds < 1 ? Number(seconds.toPrecision(2)) : seconds.toFixed(1).replace(/\.0$/, "")} s`;
  return duration(seconds, { withMinutes: true });
}
