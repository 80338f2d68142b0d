/** The dashboard: one workspace's photos, live. This module joins the parts; each part knows nothing of the others. */

import { Album } from "./album.js";
import { Announcer } from "./announcer.js";
import { Client } from "./client.js";
import { Detail } from "./detail.js";
import { takeFiles } from "./drop.js";
import { byId } from "./elements.js";
import { Feed } from "./feed.js";
import { keepAddress, readAddress, showConnection, showSignedOut, showWays, wireMasthead } from "./masthead.js";
import { Meter } from "./meter.js";
import { Pager } from "./pager.js";
import { Roll } from "./roll.js";
import { Sheet } from "./sheet.js";
import { Uploads } from "./uploads.js";
import { nameOf } from "./wording.js";

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
  oldest: byId("oldest"),
  proportions: byId("proportions"),
});
const detail = new Detail(byId("detail"), {
  album,
  client,
  neighbour: (id, step) => sheet.neighbour(id, step),
  onMove: (id) => keepAddress({ photo: id }),
  onClose: (id) => {
    keepAddress({ photo: null });
    sheet.focusOn(id);
  },
});
const uploads = new Uploads(
  {
    panel: byId("uploads"),
    list: byId("uploads-list"),
    title: byId("uploads-title"),
    cancelButton: byId("uploads-cancel"),
    dismissButton: byId("uploads-dismiss"),
  },
  {
    client,
    // Whatever the feed has said of the photo by now is newer than the answer to its upload.
    onUploaded: (photo) => album.takeSnapshot([photo], -1),
    onRefused: (name, problem) => announcer.say(`${name} was not taken: ${problem.message}`),
  },
);
const feed = new Feed(
  (cursor) => client.feedAddress(cursor),
  () => client.list({ limit: 1 }),
  {
    onHello: ({ resumed }) => (resumed && roll.isLoaded ? undefined : roll.reload()),
    onPhoto: takePhoto,
    onStats: (stats) => meter.show(stats),
    onState: (state, wait) => {
      showConnection(state, wait);
      meter.fade(state === "waiting");
      // No socket gets through, but HTTP may: a page that does not move is better than none.
      if (state === "waiting" && !roll.isLoaded) roll.reload();
    },
  },
);

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
  showConnection("signed out");
  meter.fade(true);
  showSignedOut();
}

function choose(chosen) {
  for (const filter of filters) filter.setAttribute("aria-pressed", String(filter.dataset.status === chosen));
  keepAddress({ status: chosen });
  roll.begin(chosen);
}

async function openLinked(id) {
  try {
    album.takeSnapshot([await client.photo(id)], -1);
    detail.open(id);
  } catch (problem) {
    announcer.say(problem.message);
    keepAddress({ photo: null });
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
  sheet.tick();
}, 1000);
feed.connect();
if (linkedPhoto) openLinked(linkedPhoto);
