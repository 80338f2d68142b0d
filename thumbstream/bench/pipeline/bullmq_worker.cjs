// A BullMQ worker that makes three WebP thumbnails of a file with sharp.
//   node bullmq_worker.cjs PORT QUEUE FOLDER plain|best
// plain: three resizes of the file, as people write it. best: decoded once, each from the next larger.
"use strict";

const path = require("node:path");

const [port, queue, folder, how] = process.argv.slice(2);
const from = { paths: [process.cwd()] };
let Worker, sharp;
try {
  require.resolve("ioredis", from);
  ({ Worker } = require(require.resolve("bullmq", from)));
  sharp = require(require.resolve("sharp", from));
} catch {
  console.log("lacking");
  process.exit(0);
}
sharp.concurrency(1);
sharp.cache(false);

const SIZES = [800, 400, 150];
const WEBP = { quality: 75, effort: 2 };

async function plain(file) {
  const name = path.basename(file);
  await Promise.all(SIZES.map((size) => sharp(file).rotate()
    .resize(size, size, { fit: "inside", withoutEnlargement: true })
    .webp({ quality: 75 }).toFile(path.join(folder, `${name}-${size}.webp`))));
}

async function best(file) {
  const name = path.basename(file);
  let source = sharp(file).rotate();
  for (const size of SIZES) {
    const { data, info } = await source.resize(size, size, { fit: "inside", withoutEnlargement: true })
      .raw().toBuffer({ resolveWithObject: true });
    const image = () => sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
    await image().webp(WEBP).toFile(path.join(folder, `${name}-${size}.webp`));
    source = image();
  }
}

const work = how === "best" ? best : plain;
const worker = new Worker(queue, (job) => work(job.data.file), {
  connection: { host: "127.0.0.1", port: Number(port) }, concurrency: 1,
});
worker.on("ready", () => console.log("ready"));
process.on("SIGTERM", () => worker.close(true).finally(() => process.exit(0)));
