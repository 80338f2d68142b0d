// Adds a job for each file named on stdin and prints the seconds from the 8th to the last that is done.
//   node bullmq_producer.cjs PORT QUEUE
"use strict";

const fs = require("node:fs");

const [port, queue] = process.argv.slice(2);
const { Queue, QueueEvents } = require(require.resolve("bullmq", { paths: [process.cwd()] }));
const connection = { host: "127.0.0.1", port: Number(port) };
const files = fs.readFileSync(0, "utf8").split("\n").filter(Boolean);

(async () => {
  const events = new QueueEvents(queue, { connection });
  await events.waitUntilReady();
  let done = 0;
  let began = 0;
  const over = new Promise((resolve, reject) => {
    events.on("failed", ({ failedReason }) => reject(new Error(failedReason)));
    events.on("completed", () => {
      done += 1;
      if (done === 8) began = performance.now();
      if (done === files.length) resolve((performance.now() - began) / 1000);
    });
  });
  const jobs = new Queue(queue, { connection });
  await jobs.addBulk(files.map((file) => ({ name: "thumbnails", data: { file }, opts: { removeOnComplete: true } })));
  console.log(await over);
  process.exit(0);
})().catch((error) => { console.error(error.message); process.exit(1); });
