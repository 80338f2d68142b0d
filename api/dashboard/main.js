/** The dashboard: one workspace's photos, live. This module joins the parts; each part knows nothing of the others. */

import { Album } from "./album.js";
import { Announcer } from "./announcer.js";
import { Client } from "./client.js";
import { Detail } from "./detail.js";
import { takeFiles } from "./drop.js";
import { byId } from "./elements.js";
import { Feed } from "./feed.js";
import { HealthPanel } from "./health_panel.js";
import { keepAddress, readAddress, showConnection, showSignedOut, showWays, wireMasthead } from "./masthead.js";
import { Meter } from "./meter.js";
import { PageNotice } from "./page_notice.js";
import { Pager } from "./pager.js";
import { Roll } from "./roll.js";
import { Sheet } from "./sheet.js";
import { Uploads } from "./uploads.js";
import { harmless, nameOf, quoted } from "./wording.js";

const { workspace, status, photo: linkedPhoto } = readAddress();

const announcer = new Announcer(byId("announcer"));
const client = new Client(workspace, { onSignedOut: signOut });
const album = new Album((id) => {
  roll.draw();
  if (id === detail.id) detail.draw();
});
const pager = new Pager(client, album);
const sheet = new Sheet(byId("sheet"), { onOpen: (id) => detail.open(id), onEnd: () => roll.more() });
const filters = [...byId("filters").children];
const roll = new Roll({
  album,
  pager,
  sheet,
  parts: { newer: byId("newer"), note: byId("sheet-note"), again: byId("sheet-again"), empty: byId("empty") },
});
const meter = new Meter({
  panel: byId("panel"),
  filters,
  rate: byId("rate"),
  trace: byId("trace"),
  lag: byId("lag"),
  lagReason: byId("lag-reason"),
  oldest: byId("oldest"),
  proportions: byId("proportions"),
});
const health = new HealthPanel(byId("health"));
const notice = new PageNotice(byId("notice"));
let connection = ["connecting", {}];
const detail = new Detail(byId("detail"), {
  album,
  client,
  neighbour: (entry, step) => sheet.neighbour(entry, step),
  onMove: (id) => keepAddress({ photo: id }),
  onClose: (entry) => {
    keepAddress({ photo: null });
    if (entry) sheet.focusOn(entry);
  },
  onGone: ({ photo }) => notice.show(`${quoted(nameOf(photo))} was deleted.`),
});
const uploads = new Uploads(
  {
    panel: byId("uploads"),
    list: byId("uploads-list"),
    title: byId("uploads-title"),
    nowButton: byId("uploads-now"),
    cancelButton: byId("uploads-cancel"),
    dismissButton: byId("uploads-dismiss"),
  },
  {
    client,
    // Whatever the feed has said of the photo by now is newer than the answer to its upload.
    onUploaded: (photo) => album.takeSnapshot([photo], -1),
    onRefused: (name, problem) => announcer.say(`${quoted(name)} was not taken: ${problem.message}`),
    onWaiting: (sentence) => announcer.say(sentence),
  },
);
const feed = new Feed(
  (cursor) => client.feedAddress(cursor),
  () => client.list({ limit: 1, seconds: 8 }),
  {
    onHello: ({ resumed }) => {
      uploads.tryNow();
      if (!resumed || !roll.isLoaded) roll.reload();
      else roll.tryAgain();
    },
    onPhoto: takePhoto,
    onStats: (stats) => meter.show(stats),
    onHealth: (message) => {
      health.show(message);
      drawConnection();
    },
    onState: (state, details = {}) => {
      connection = [state, details];
      drawConnection();
      // No socket gets through, but HTTP may: a page that does not move is better than none.
      if (state === "waiting" && !roll.isLoaded) roll.reload();
    },
  },
);

/** Whatever is not live is told in one place, and what it makes old is shown as old. */
function drawConnection() {
  const [state, details] = connection;
  showConnection(state, details, health.away);
  meter.fade(state === "waiting" || state === "signed out" || health.isAway("database"));
}

function takePhoto(message) {
  if (typeof message.photo?.id !== "string") return;
  const before = album.get(message.photo.id)?.photo.thumbnail_status;
  const entry = album.takeMessage(message);
  const now = entry?.photo.thumbnail_status;
  if (now !== before && (now === "ready" || now === "failed")) announcer.became(now, nameOf(entry.photo));
  roll.trim();
}

function signOut() {
  feed.stop();
  connection = ["signed out", {}];
  drawConnection();
  showSignedOut();
}

function choose(chosen) {
  for (const filter of filters) filter.setAttribute("aria-pressed", String(filter.dataset.status === chosen));
  keepAddress({ status: chosen });
  roll.begin(chosen);
}

/** Open the photo that the address names. The address keeps it unless it is known to be gone. */
async function openLinked(id) {
  try {
    album.takeSnapshot([await client.photo(id)], -1);
    detail.open(id);
  } catch (problem) {
    if ([400, 404, 422].includes(problem.status)) {
      notice.show(`The photo of this link is not in workspace ${quoted(harmless(workspace))}: it was deleted, or the link is not complete.`);
      keepAddress({ photo: null });
    } else if (problem.status !== 401) {
      notice.show(`The photo of this link could not be loaded: ${problem.message}`, { onAgain: () => openLinked(id) });
    }
  }
}

for (const filter of filters) {
  filter.addEventListener("click", () => choose(filter.dataset.status));
  filter.setAttribute("aria-pressed", String(filter.dataset.status === status));
}
roll.start(status);
wireMasthead(workspace, { onReconnect: () => feed.connect() });
showWays(workspace);
takeFiles({
  input: byId("files"),
  button: byId("choose"),
  onFiles: (files) => uploads.add(files),
  onDrag: (isOver) => (byId("curtain").hidden = !isOver),
});
window.addEventListener("online", () => feed.connect());
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && feed.connect());
setInterval(() => {
  if (document.visibilityState !== "visible") return;
  meter.tick();
  health.tick();
  sheet.tick();
}, 1000);
feed.connect();
if (linkedPhoto) openLinked(linkedPhoto);
