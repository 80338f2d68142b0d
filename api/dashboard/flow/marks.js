/** Marks of the charts: what they say, and which of them share a place. */

import { make } from "../page/elements.js";
import { duration, visible } from "../page/format.js";

const OUTAGES = {
  broker: "Kafka did not answer",
  worker: "no worker",
  database: "the database did not answer",
  storage: "storage did not work",
  projector: "results were not shown",
};
/** Marks that lie closer than this, of the whole axis, share a label. */
const CLOSE = 0.015;
/** A label needs so much of it. */
const ROOM = 0.15;

/** What a mark says, in a few words. */
export function textOf({ kind, subject, until, at, detail }) {
  const lasted = until ? `, for ${duration((Date.parse(until) - Date.parse(at)) / 1000)}` : ", still lasting";
  if (kind === "outage") return `${OUTAGES[subject] ?? `${visible(subject)} did not work`}${lasted}`;
  if (kind === "deployed") return `another version: ${visible(detail)}`;
  if (kind === "api_started") return `api started (${visible(subject)})`;
  if (kind === "worker_started") return `worker started (${visible(subject)})`;
  return visible(kind);
}

/** The marks as labelled ticks and bands, to be put over the charts. */
export function ticksOf(marks, axis) {
  const elements = [];
  for (const { kind, at, until } of marks) {
    if (kind !== "outage") continue;
    const start = axis.positionOf(Date.parse(at));
    const band = make("i", { class: "chart-outage" });
    band.style.left = percent(start);
    band.style.width = percent((until ? axis.positionOf(Date.parse(until)) : 1) - start);
    elements.push(band);
  }
  const groups = groupsOf(marks, axis);
  // The label of a late tick does not fit behind it: it gets half of the room before it, and the ticks next to it none.
  const last = groups.at(-1);
  const isBefore = last && last.position > 0.85;
  const neighbour = groups.findLast(({ position }) => isBefore && last.position - position > ROOM);
  const room = isBefore ? (last.position - (neighbour?.position ?? 0)) / 2 : 0;
  for (const [at, group] of groups.entries()) {
    const isLast = isBefore && group === last;
    const free = (groups[at + 1]?.position ?? 1) - group.position;
    const isNear = isBefore && !isLast && last.position - group.position <= ROOM;
    const width = isNear ? 0 : isLast ? room : Math.min(free, group === neighbour ? room : 1);
    const tick = make("span", { class: isLast ? "chart-tick is-before" : "chart-tick", "data-kind": group.kind }, make("span", {}, group.label));
    tick.style.left = percent(isLast ? group.position - width : group.position);
    tick.style.width = percent(width);
    elements.push(tick);
  }
  return elements;
}

export function percent(share) {
  return `${(share * 100).toFixed(3)}%`;
}

function groupsOf(marks, axis) {
  const groups = [];
  for (const mark of marks) {
    const position = axis.positionOf(Date.parse(mark.at));
    const last = groups.at(-1);
    if (last && position - last.position < CLOSE) last.marks.push(mark);
    else groups.push({ position, marks: [mark] });
  }
  for (const group of groups) {
    group.kind = ["outage", "deployed"].find((kind) => group.marks.some((mark) => mark.kind === kind)) ?? "started";
    const most = group.marks.find(({ kind }) => kind === group.kind) ?? group.marks[0];
    group.label = shortOf(most) + (group.marks.length > 1 ? ` +${group.marks.length - 1}` : "");
  }
  return groups;
}

function shortOf({ kind, subject, detail }) {
  if (kind === "outage") return OUTAGES[subject] ?? visible(subject);
  if (kind === "deployed") return visible(detail);
  return kind.replace(/_started$/, " started");
}
