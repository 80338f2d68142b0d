// Adds a job for each file named on stdin and prints the seconds from the 8th to the last that is done.
//   node bullmq_producer.cjs PORT QUEUE
"use strict";

const fs = require("node:fs");
const { setTimeout: sleep } = require("node:timers/promises");

const [port, queue] = process.argv.slice(2);
const { Queue } = require(require.resolve("bullmq", { paths: [process.cwd()] }));
const connection = { host: "127.0.0.1", port: Number(port) };
const files = fs.readFileSync(0, "utf8").split("\n").filter(Boolean);

(async () => {
  const jobs = new Queue(queue, { connection });
  await jobs.addBulk(files.map((file) => ({ name: "thumbnails", data: { file } })));
  // Looked at twice a second, to take little from what is measured; each job knows when it was done.
  while (await jobs.getCompletedCount() < files.length) {
    const [failed] = await jobs.getFailed(0, 0);
    if (failed) throw new Error(failed.failedReason);
    await sleep(500);
  }
  const times = (await jobs.getCompleted(0, files.length - 1)).map((job) => job.finishedOn).sort((a, b) => a - b);
  console.log((times.at(-1) - times[7]) / 1000);
  process.exit(0);
})().catch((error) => { console.error(error.message); process.exit(1); });
