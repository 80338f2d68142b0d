/** The page's address: what to show, kept so that a reload or a shared link shows the same. */

/** The statuses of a photo, in the order in which it passes through them. */
export const STATUSES = ["pending", "processing", "ready", "failed"];

/** The workspace, status filter and photo in the page's address. */
export function readAddress() {
  const query = new URLSearchParams(window.location.search);
  const status = query.get("status") ?? "";
  return {
    workspace: query.get("workspace") || "default",
    status: STATUSES.includes(status) ? status : "",
    photo: query.get("photo"),
  };
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
