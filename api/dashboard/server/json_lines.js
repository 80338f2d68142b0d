/** Reads an answer whose lines are JSON, as they come. */

/** Yields each line of `body`, a stream of bytes. Throws `lost()` when it breaks off, or none comes for `silentSeconds`. */
export async function* jsonLines(body, { silentSeconds, lost }) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await next(reader, silentSeconds, lost);
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

async function next(reader, seconds, lost) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(lost()), seconds * 1000);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } catch (error) {
    throw error.name === "TypeError" ? lost() : error; // so browsers call what the network does
  } finally {
    clearTimeout(timer);
  }
}
