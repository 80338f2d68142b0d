/** The head of the page: workspace, connection, the address bar, and what stands in for the page when signed out. */

import { byId, setText } from "./elements.js";
import { STATUSES } from "./meter.js";
import { harmless, quoted } from "./wording.js";

/** What the page's address asks for. */
export function readAddress() {
  const query = new URLSearchParams(window.location.search);
  const status = query.get("status") ?? "";
  return {
    workspace: query.get("workspace") || "default",
    status: STATUSES.includes(status) ? status : "",
    photo: query.get("photo"),
  };
}

/** Keep in the page's address what a reload or a colleague with the link should see; a falsy value goes. */
export function keepAddress(values) {
  const url = new URL(window.location.href);
  for (const [name, value] of Object.entries(values)) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  window.history.replaceState(null, "", url);
}

/** The workspace field and the button that reconnects at once. */
export function wireMasthead(workspace, { onReconnect }) {
  const input = byId("workspace");
  input.value = workspace;
  document.title = workspace === "default" ? "Thumbstream" : `${quoted(harmless(workspace))} · Thumbstream`;
  setText(byId("curtain-workspace"), harmless(workspace));
  keepAddress({ workspace, key: null });
  byId("workspace-form").addEventListener("submit", (event) => {
    event.preventDefault();
    window.location.assign(`/?${new URLSearchParams({ workspace: input.value.trim() || "default" })}`);
  });
  byId("reconnect").addEventListener("click", onReconnect);
  byId("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    signIn(byId("key").value.trim());
  });
  byId("signed-out").addEventListener("cancel", (event) => event.preventDefault());
}

let countdown = 0;

/** Trade the key for a session and come back to this very page. */
async function signIn(key) {
  const failure = byId("sign-in-failure");
  setText(failure, "");
  try {
    const answer = await fetch("/session", { method: "POST", body: new URLSearchParams({ key }) });
    if (answer.ok) window.location.reload();
    else setText(failure, answer.status === 401 ? "That key is not known here." : `Signing in failed with status ${answer.status}.`);
  } catch {
    setText(failure, "Thumbstream did not answer. Is it running?");
  }
}

/**
 * Show the state of the feed, as `Feed` tells it, and the `away` parts of the pipeline by name.
 *
 * The sentence is read out when it changes; the running seconds beside it are for the eye only.
 */
export function showConnection(state, details, away = []) {
  clearInterval(countdown);
  byId("connection").dataset.state = state;
  byId("connection").classList.toggle("is-impaired", state === "live" && away.length > 0);
  setText(byId("connection-text"), sentenceOf(state, details, away));
  byId("reconnect").hidden = !(state === "waiting" && details.until);
  const draw = () => setText(byId("connection-wait"), state === "waiting" ? secondsOf(details) : "");
  draw();
  if (state === "waiting") countdown = setInterval(draw, 250);
}

function sentenceOf(state, details, away) {
  if (state === "live" && away.length) return `connected, but not working: ${away.join(", ")}`;
  if (state !== "waiting") return state;
  if (details.reason) return `reconnecting: ${details.reason}`;
  return details.silentSince ? "no answer from the server" : "connection lost, reconnecting";
}

function secondsOf({ silentSince, until }) {
  const wait = until ? Math.max(0, Math.ceil((until - Date.now()) / 1000)) : 0;
  const silence = silentSince ? Math.floor((Date.now() - silentSince) / 1000) : 0;
  const next = wait ? ` in ${wait} s` : "";
  return silentSince ? ` for ${silence} s, trying again${next}` : next;
}

/** The session is missing or over. */
export function showSignedOut() {
  const dialog = byId("signed-out");
  if (!dialog.open) dialog.showModal();
}

/** The commands of the empty state, for this server and workspace. */
export function showWays(workspace) {
  setText(byId("empty-workspace"), harmless(workspace));
  const address = `${window.location.origin}/v1/workspaces/${encodeURIComponent(workspace)}/photos`;
  setText(
    byId("way-post"),
    [
      `thumbstream upload --workspace ${workspace} cat.jpg`,
      "",
      'curl -H "Authorization: Bearer $THUMBSTREAM_KEY" \\',
      "  -F photo=@cat.jpg \\",
      `  ${address}`,
    ].join("\n"),
  );
  setText(
    byId("way-produce"),
    [
      '{"photo_id": "0198f0c2-6f3e-7b1a-9c55-3d2f8e4a1b07",',
      ` "workspace_id": ${JSON.stringify(workspace)},`,
      ' "storage_key": "originals/acme/cat.jpg"}',
    ].join("\n"),
  );
}
