// sharp in a process of its own: orders on stdin, answers on stdout, as thumbstream/bench/render/engine_main.py has them.
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");

const atItsBest = process.argv[2] === "sharp-best";
// What libvips calls effort where the encoder calls it method (WebP) or nine less its speed (AVIF), as our encoder's.
const EFFORT = { webp: { effort: 2 }, avif: { effort: 1 } };

function say(answer) {
  fs.writeSync(1, JSON.stringify(answer) + "\n");
}

let sharp;
try {
  sharp = require(require.resolve("sharp", { paths: [process.cwd(), ...(require.main.paths ?? [])] }));
} catch {
  say({ lacking: "sharp is not installed in this folder: npm install sharp" });
  process.exit(0);
}
sharp.concurrency(1);
sharp.cache(false); // else the second round is answered from the first

function memory(what) {
  try {
    const line = fs.readFileSync("/proc/self/status", "utf8").split("\n").find((each) => each.startsWith(what));
    return Number(line.split(/\s+/)[1]) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}

function resetPeak() {
  try {
    fs.writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // not Linux: the peak is that of all renders
  }
}

function encode(image, { format, quality }) {
  const options = format === "png" ? {} : { quality };
  return image[format](atItsBest ? { ...options, ...EFFORT[format] } : options);
}

function inside(edge) {
  return { width: edge, height: edge, fit: "inside", withoutEnlargement: true };
}

async function eachFromTheFile(original, renditions) {
  const thumbnails = [];
  for (const rendition of renditions) {
    thumbnails.push(await encode(sharp(original).rotate().resize(inside(rendition.max_edge)), rendition).toBuffer());
  }
  return thumbnails;
}

async function cascade(original, renditions) {
  const thumbnails = [];
  let image = sharp(original).rotate();
  for (const rendition of renditions) {
    const { data, info } = await image.resize(inside(rendition.max_edge)).raw().toBuffer({ resolveWithObject: true });
    const raw = { raw: { width: info.width, height: info.height, channels: info.channels } };
    thumbnails.push(await encode(sharp(data, raw), rendition).toBuffer());
    image = sharp(data, raw);
  }
  return thumbnails;
}

async function measure(order, before) {
  resetPeak();
  try {
    const cpu = process.cpuUsage();
    const wall = process.hrtime.bigint();
    const thumbnails = await (atItsBest ? cascade : eachFromTheFile)(order.original, order.renditions);
    const seconds = Number(process.hrtime.bigint() - wall) / 1e9;
    const used = process.cpuUsage(cpu);
    const added = memory("VmHWM") - before;
    if (order.keep) thumbnails.forEach((content, number) => fs.writeFileSync(`${order.keep}.${number}`, content));
    return { seconds, cpu_seconds: (used.user + used.system) / 1e6, added_bytes: added };
  } catch (error) {
    return { failed: String(error.message).replace(/\s+/g, " ").slice(0, 100) };
  }
}

async function main() {
  say({ version: `${sharp.versions.sharp ?? ""} with libvips ${sharp.versions.vips}` });
  const before = memory("VmRSS");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    say(await measure(JSON.parse(line), before));
  }
}

main();
