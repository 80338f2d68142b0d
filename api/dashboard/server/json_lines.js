/** Reads an answer whose lines are JSON, as they come. */

/** Yields each line of `body`, a stream of bytes. Throws `silent()` if none comes for `silentSeconds`. */
export async function* jsonLines(body, { silentSeconds, silent }) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await within(silentSeconds, reader.read(), silent);
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) yield JSON.parse(line);
    }
  } finally {
    // Who stops reading, stops the server too.
    reader.cancel().catch(() => {});
  }
}

async function within(seconds, promise, late) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(late()), seconds * 1000);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
