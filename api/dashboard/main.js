/** The dashboard of one workspace. This module connects the parts of the page; the parts do not import each other's state. */

import { DeadPlace } from "./dead/dead_place.js";
import { FailuresPlace } from "./failures/failures_place.js";
import { Feed } from "./feed.js";
import { FlowPlace } from "./flow/flow_place.js";
import { readAddress, updateAddress } from "./page/address.js";
import { Announcer } from "./page/announcer.js";
import { byId } from "./page/elements.js";
import { isolatedName, nameOf, photos, visible } from "./page/format.js";
import { initHeader, showConnection, showWorkspace } from "./page/header.js";
import { HealthPanel } from "./page/health_panel.js";
import { initKeyboard } from "./page/keyboard.js";
import { PageNotice } from "./page/page_notice.js";
import { Places } from "./page/places.js";
import { SearchBox } from "./page/search_box.js";
import { initSignInDialog, showSignInDialog } from "./page/sign_in_dialog.js";
import { StatsPanel } from "./page/stats_panel.js";
import { Verdict } from "./page/verdict.js";
import { DetailDialog } from "./photos/detail_dialog.js";
import { Pager } from "./photos/pager.js";
import { PhotoList } from "./photos/photo_list.js";
import { PhotoStore } from "./photos/photo_store.js";
import { Selection } from "./photos/selection.js";
import { VirtualGrid } from "./photos/virtual_grid.js";
import { WaitingTile } from "./photos/waiting_tile.js";
import { Client } from "./server/client.js";
import { listenForFiles } from "./uploads/file_input.js";
import { UploadQueue } from "./uploads/upload_queue.js";
import { WorkersPlace } from "./workers/workers_place.js";
import { WorkspacesPlace } from "./workspaces/workspaces_place.js";

const { workspace, status, filters: { q: query }, photo: linkedPhoto } = readAddress();
const filters = [...byId("filters").children];
let connection = ["connecting", {}];
/** Which photos the list shows. */
let shown = { status, query };

const client = new Client(workspace, { onSignedOut: showSignedOut });
const announcer = new Announcer(byId("announcer"));
const notice = new PageNotice(byId("notice"));
const stats = new StatsPanel(filters);
const health = new HealthPanel(byId("health"));
const verdict = new Verdict(workspace);
const store = new PhotoStore((id) => {
  list.draw();
  selection.refresh();
  flow.notePhotos();
  if (id === detail.id) detail.draw();
});
const grid = new VirtualGrid(byId("photo-grid"), { onOpen: openOrSelect, onEnd: () => list.loadMore() });
const selection = new Selection({
  store,
  client,
  grid,
  onChange: () => list.draw(),
  onProblem: (text) => notice.show(text),
  say: (sentence) => announcer.say(sentence),
});
const list = new PhotoList({
  store,
  grid,
  pager: new Pager(client, store, shown),
  tile: new WaitingTile(() => chooseStatus("pending")),
  isHidden: (id) => selection.hides(id),
});
const searchBox = new SearchBox((words) => {
  updateAddress({ q: words });
  filterPhotos({ ...shown, query: words });
});
const detail = new DetailDialog(byId("detail"), {
  store,
  client,
  neighbour: (entry, step) => grid.neighbour(entry, step),
  onShow: (id) => updateAddress({ photo: id }),
  onClose: (entry) => {
    updateAddress({ photo: null });
    // In the other places the browser gives the focus back to what has opened the dialog.
    if (entry && places.shown === "photos") grid.focusOn(entry);
  },
  onDeleted: ({ photo }) => notice.show(`${isolatedName(nameOf(photo))} was deleted.`),
});
const uploads = new UploadQueue({
  client,
  // What the feed has sent about this photo is newer than the response to its upload.
  onUploaded: (photo) => store.applySnapshot([photo], -1),
  onRefused: (name, problem) => announcer.say(`${isolatedName(name)} was refused: ${problem.message}`),
  onWaiting: (sentence) => announcer.say(sentence),
});
const failures = new FailuresPlace(workspace, { client, onOpen: openPhoto });
const dead = new DeadPlace({
  client,
  onCount: (number) => places.setCount("dead", number),
  onFilter: (filters) => places.go("dead", filters),
});
const flow = new FlowPlace(workspace, { client, store, onOpen: openPhoto });
/** Beside the photos, which are always up to date. */
const workers = new WorkersPlace(workspace, { client, onOpen: openPhoto });
const others = { flow, failures, dead, workspaces: new WorkspacesPlace(workspace, { client }), workers };
/** With the second of their keys; `w` is the workspaces'. */
const FOR_ADMINS_OF_ALL = { dead: "d", workspaces: "w", workers: "k" };
const places = new Places(workspace, { onShow: showPlace });
const feed = new Feed(client.workspaceUrl, {
  probe: () => client.list({ limit: 1, timeoutSeconds: 8 }),
  onHello: ({ resumed }) => {
    uploads.resume();
    showRights();
    if (!resumed || !list.isLoaded) list.reload();
    else list.retry();
  },
  onPhoto: showPhoto,
  onStats: (message) => {
    stats.show(message);
    list.setStats(message);
    verdict.setStats(message);
    places.setCount("failures", message.counts?.failed ?? null);
    failures.setFailed(message.counts?.failed);
    flow.setStats(message);
  },
  onHealth: (message) => {
    health.show(message);
    verdict.setParts(message.parts);
    drawConnection();
  },
  onState: (state, details = {}) => {
    setConnection(state, details);
    // Photos may still load by HTTP when the WebSocket does not connect.
    if (state === "waiting" && !list.isLoaded) list.reload();
  },
});

function setConnection(...state) {
  connection = state;
  drawConnection();
}

function drawConnection() {
  const [state, details] = connection;
  showConnection(state, details);
  verdict.setConnection(state, details);
  stats.setStale(state === "waiting" || state === "signed out" || health.isFailing("database"));
}

function showPhoto(message) {
  if (typeof message.photo?.id !== "string") return;
  const before = store.get(message.photo.id)?.photo.thumbnail_status;
  const entry = store.applyMessage(message);
  const now = entry?.photo.thumbnail_status;
  if (now !== before && (now === "ready" || now === "failed")) announcer.addChange(now, nameOf(entry.photo));
  failures.notePhoto(message.photo);
  list.trim();
}

/** A photo of the list was clicked. */
function openOrSelect(id, { shiftKey, ctrlKey, metaKey }) {
  if (selection.isOn || shiftKey || ctrlKey || metaKey) selection.toggle(id, { isRange: shiftKey });
  else detail.open(id);
}

/** Open a photo that may not be in the list. */
function openPhoto(photo) {
  store.applySnapshot([photo], -1);
  detail.open(photo.id);
}

function showPlace(place, { status: wanted, filters: found, title }) {
  verdict.setPlace(title);
  detail.close();
  selection.end();
  if (place === "photos") filterPhotos({ status: wanted, query: found.q });
  for (const [name, other] of Object.entries(others)) {
    if (name === place) other.show(found);
    else other.hide();
  }
}

/** Show the photos with this status and these words; empty: all. */
function filterPhotos(wanted) {
  markFilter(wanted.status);
  searchBox.show(wanted.query);
  if (wanted.status === shown.status && wanted.query === shown.query) return;
  shown = wanted;
  selection.end();
  list.filter(shown);
}

function chooseStatus(chosen) {
  updateAddress({ status: chosen });
  filterPhotos({ ...shown, status: chosen });
  filters.find((filter) => filter.dataset.status === chosen).focus();
}

function focusSearch() {
  if (places.shown !== "photos") places.go("photos");
  searchBox.focus();
}

function refresh() {
  if (places.shown in others) others[places.shown].refresh();
  else list.reload();
}

/** Offer what the signed-in key may do. */
async function showRights() {
  try {
    const { role, workspace_id: onlyIn } = await client.session();
    failures.setMayRetry(role !== "viewer");
    selection.setMayChange(role !== "viewer");
    const isAdminOfAll = role === "admin" && onlyIn === null;
    for (const place of Object.keys(FOR_ADMINS_OF_ALL)) {
      places.offer(place, isAdminOfAll);
      others[place].setOffered(isAdminOfAll);
    }
    if (!isAdminOfAll && places.shown in FOR_ADMINS_OF_ALL) places.go("photos");
  } catch {
    // Signed out, or no answer: the feed says so, and asks again when it is back.
  }
}

/** The server has answered 401: the session has ended. */
function showSignedOut() {
  feed.stop();
  setConnection("signed out", {});
  showSignInDialog();
}

/** End the session on the server, then load the sign-in page. */
async function signOut() {
  if (uploads.unfinished && !window.confirm(`Cancel the upload of ${photos(uploads.unfinished)} and sign out?`)) return;
  try {
    await client.signOut();
  } catch (problem) {
    notice.show(`You are still signed in: ${problem.message}`, { onRetry: signOut });
    return;
  }
  feed.stop();
  uploads.cancelAll();
  // Without the fragment: a URL that differs only in it does not load anything.
  window.location.replace(window.location.pathname + window.location.search);
}

function markFilter(chosen) {
  for (const filter of filters) filter.setAttribute("aria-pressed", String(filter.dataset.status === chosen));
}

/** Open the photo in the page's address. It stays in the address unless the photo does not exist. */
async function openLinked(id) {
  try {
    openPhoto(await client.photo(id));
  } catch (problem) {
    if ([400, 404, 422].includes(problem.status)) {
      notice.show(`The photo in this link is not in workspace ${isolatedName(visible(workspace))}: it was deleted, or the link is incomplete.`);
      updateAddress({ photo: null });
    } else if (problem.status !== 401) {
      notice.show(`The photo in this link could not be loaded: ${problem.message}`, { onRetry: () => openLinked(id) });
    }
  }
}

for (const filter of filters) filter.addEventListener("click", () => chooseStatus(filter.dataset.status));
initHeader(workspace, { onReconnect: () => feed.connect(), onSignOut: signOut });
initSignInDialog(client);
showWorkspace(workspace);
listenForFiles({
  input: byId("files"),
  button: byId("choose"),
  onFiles: (files) => uploads.add(files),
  onDrag: (isOver) => (byId("drop-overlay").hidden = !isOver),
});
initKeyboard([
  { keys: "g p", text: "Go to the photos", act: () => places.go("photos") },
  { keys: "g l", text: "Go to the flow", act: () => places.go("flow") },
  { keys: "g f", text: "Go to the failures", act: () => places.go("failures") },
  ...Object.entries(FOR_ADMINS_OF_ALL).map(([place, key]) => ({
    keys: `g ${key}`,
    text: `Go to the ${place === "dead" ? "dead letters" : place}`,
    act: () => places.go(place),
    isOffered: () => places.isOffered(place),
  })),
  ...[["x", "Select the photo"], ["X", "Select all photos up to this one"]].map(([keys, text]) => ({
    keys,
    text,
    act: () => selection.toggle(grid.focusedId, { isRange: keys === "X" }),
    isOffered: () => grid.focusedId !== null,
  })),
  { keys: "Escape", text: "End the selection", act: () => selection.end(), isOffered: () => selection.isOn },
  { keys: "/", text: "Search the photos", act: focusSearch },
  { keys: "r", text: "Load again what is shown", act: refresh },
]);
window.addEventListener("online", () => feed.connect());
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && feed.connect());
setInterval(() => {
  verdict.tick();
  if (document.visibilityState !== "visible") return;
  stats.tick();
  health.tick();
  grid.tick();
  failures.tick();
  workers.tick();
  flow.tick();
}, 1000);
places.start();
feed.connect();
if (linkedPhoto) openLinked(linkedPhoto);
