/** Sends photos to be rendered again, a page at a time and at the pace of the workers. */

/** One request's worth. */
const PAGE = 1000;
/** No more are sent while so many photos have no result, so that new uploads wait for no more than these. */
const MAX_UNFINISHED = 1000;
const WAIT_MS = 2000;

/**
 * Returns how many were sent, all that meet `criteria` unless `isStopped()`.
 *
 * `send(body)` makes a request; `onPage(sent, hasMore)` is called after each.
 */
export async function retryAll(send, criteria, { onPage, isStopped }) {
  let sent = 0;
  let cursor = null;
  do {
    const page = await send({ ...criteria, limit: PAGE, max_unfinished: MAX_UNFINISHED, cursor });
    sent += page.count;
    cursor = page.next_cursor;
    onPage(sent, Boolean(cursor));
    if (cursor) await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  } while (cursor && !isStopped());
  return sent;
}
