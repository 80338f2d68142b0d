/** The page's address: what to show, kept so that a reload or a shared link shows the same. */

/** The statuses of a photo, in the order in which it passes through them. */
export const STATUSES = ["pending", "processing", "ready", "failed"];

/** The filters of the places but status, by their name in the address. */
const FILTERS = ["q", "code", "type", "producer", "of", "reason", "from", "span"];

/** The places of the page, by their name in the address. */
export const PLACES = ["photos", "flow", "failures", "dead", "workspaces", "workers"];

/** What the page's address says, or another query. `filters`: those of the place. */
export function readAddress(search = window.location.search) {
  const query = new URLSearchParams(search);
  const status = query.get("status") ?? "";
  const place = query.get("place") ?? "";
  return {
    workspace: query.get("workspace") || "default",
    place: PLACES.includes(place) ? place : PLACES[0],
    status: STATUSES.includes(status) ? status : "",
    filters: Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""])),
    photo: query.get("photo"),
  };
}

/** The address of a place, with these filters and no others. */
export function addressOf({ workspace, place, ...filters }) {
  const values = { workspace, place: place === PLACES[0] ? "" : place, ...filters };
  return `?${new URLSearchParams(Object.entries(values).filter(([, value]) => value))}`;
}

/** Set query parameters in the page's address; an empty value removes one. */
export function updateAddress(values) {
  const url = new URL(window.location.href);
  for (const [name, value] of Object.entries(values)) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  window.history.replaceState(null, "", url);
}
