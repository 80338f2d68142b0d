/** The header: the workspace, the state of the connection, sign-out. */

import { updateAddress } from "./address.js";
import { apiUrl, byId, setText } from "./elements.js";
import { visible } from "./format.js";

/** Set up the workspace field and the buttons. */
export function initHeader(workspace, { onReconnect, onSignOut }) {
  const input = byId("workspace");
  input.value = workspace;
  updateAddress({ workspace, key: null });
  byId("workspace-form").addEventListener("submit", (event) => {
    event.preventDefault();
    window.location.assign(`?${new URLSearchParams({ workspace: input.value.trim() || "default" })}`);
  });
  byId("reconnect").addEventListener("click", onReconnect);
  byId("sign-out").addEventListener("click", onSignOut);
}

let countdown = 0;

/**
 * Show the state of the connection as `Feed` reports it, or `signed out`.
 *
 * Screen readers read the sentence when it changes, but not the seconds beside it.
 */
export function showConnection(state, details) {
  clearInterval(countdown);
  byId("connection").dataset.state = state;
  setText(byId("connection-text"), connectionText(state, details));
  byId("reconnect").hidden = !(state === "waiting" && details.retryAt);
  byId("sign-out").hidden = state === "signed out";
  const draw = () => setText(byId("connection-wait"), state === "waiting" ? secondsText(details) : "");
  draw();
  if (state === "waiting") countdown = setInterval(draw, 250);
}

function connectionText(state, { reason, silentSince }) {
  if (state === "live") return "feed live";
  if (state !== "waiting") return state;
  if (reason) return `reconnecting: ${reason}`;
  return silentSince ? "no answer from the server" : "connection lost, reconnecting";
}

function secondsText({ silentSince, retryAt }) {
  const wait = retryAt ? Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) : 0;
  const next = wait ? ` in ${wait} s` : "";
  return silentSince ? ` for ${Math.floor((Date.now() - silentSince) / 1000)} s, trying again${next}` : next;
}

/** Fill in the workspace where the page names it, and the example commands of an empty workspace. */
export function showWorkspace(workspace) {
  setText(byId("drop-workspace"), visible(workspace));
  setText(byId("empty-workspace"), visible(workspace));
  const url = apiUrl(`v1/workspaces/${encodeURIComponent(workspace)}/photos`);
  setText(
    byId("example-upload"),
    [
      `thumbstream upload --workspace ${workspace} cat.jpg`,
      "",
      'curl -H "Authorization: Bearer $THUMBSTREAM_KEY" \\',
      "  -F photo=@cat.jpg \\",
      `  ${url}`,
    ].join("\n"),
  );
  setText(
    byId("example-event"),
    [
      '{"photo_id": "0198f0c2-6f3e-7b1a-9c55-3d2f8e4a1b07",',
      ` "workspace_id": ${JSON.stringify(workspace)},`,
      ' "storage_key": "originals/acme/cat.jpg"}',
    ].join("\n"),
  );
}
