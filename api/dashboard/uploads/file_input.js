/** Files from the user: chosen, pasted, or dropped anywhere on the page, folders too. */

/** Call `onFiles(files)` for new files, and `onDrag(isOver)` when a drag of files enters or leaves the page. */
export function listenForFiles({ input, button, onFiles, onDrag }) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    onFiles([...input.files]);
    input.value = "";
  });
  // dragenter and dragleave fire for every element on the way, so count them.
  let depth = 0;
  const drag = (change) => {
    depth = Math.max(0, depth + change);
    onDrag(depth > 0);
  };
  window.addEventListener("dragenter", (event) => hasFiles(event) && drag(1));
  window.addEventListener("dragleave", (event) => hasFiles(event) && drag(-1));
  window.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  window.addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    onDrag(false);
    onFiles(await filesOf(event.dataTransfer));
  });
  window.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData?.files.length) onFiles([...clipboardData.files]);
  });
}

function hasFiles({ dataTransfer }) {
  return dataTransfer?.types.includes("Files");
}

async function filesOf(dataTransfer) {
  // Read the entries before the first await: the browser empties the list after the event.
  const entries = [...dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...dataTransfer.files];
  return (await Promise.all(entries.map((entry) => filesUnder(entry, true)))).flat();
}

/** The files under an entry, sorted by name within a folder. Hidden ones (`.DS_Store`) are left out unless they were dropped directly. */
async function filesUnder(entry, isDropped = false) {
  if (entry.name.startsWith(".") && !isDropped) return [];
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const children = (await childrenOf(entry)).sort((left, right) => left.name.localeCompare(right.name));
  const files = [];
  for (const child of children) files.push(...(await filesUnder(child)));
  return files;
}

async function childrenOf(directory) {
  const reader = directory.createReader();
  const children = [];
  // Chromium returns up to 100 entries per call, and none at the end.
  for (;;) {
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return children;
    children.push(...batch);
  }
}
