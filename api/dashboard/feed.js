/** The feed of a workspace, for any page. One file without dependencies; docs/feed.md has an example. */

const FIRST_BACKOFF_MS = 500;
/** Below 10 s, so that a page is up to date 10 s after the server is back. */
const MAX_BACKOFF_MS = 9_000;
/** A connection that has not sent `hello` by then is closed: a network may drop packets without an error. */
const HELLO_TIMEOUT_MS = 10_000;
/** The server sends a message at least every 5 s. A connection that is silent for this long counts as lost. */
const SILENCE_TIMEOUT_MS = 9_500;
/** WebSocket attempts in a row without `hello` before server-sent events are tried, where a WebSocket worked before. */
const MAX_SOCKET_FAILURES = 3;

/** Milliseconds to wait after `failures` failed attempts in a row. The jitter keeps pages from reconnecting all at once. */
export function backoffMs(failures) {
  return Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}

/**
 * Follows the feed until it is stopped: reconnects with the last cursor, by server-sent events where no WebSocket gets
 * through. Every option may be left out:
 *
 * - `onHello({resumed})`, after each connect. `resumed: false`: messages may be missing, so load the list again.
 * - `onPhoto({event, photo, cursor})`, `onStats(message)`, `onHealth(message)`.
 * - `onState(state, details)`: `connecting` (the first attempt), `live`, and `waiting` (not connected). Details of
 *   `waiting`, times in ms since 1970: `silentSince`, when the last message came, or null if the connection was closed;
 *   `retryAt`, when the next attempt starts, or null while one is running; `reason`, why the server refuses, or "".
 * - `getTicket()` resolves to a new ticket for each connection: for pages of another origin.
 * - `probe()` sends an HTTP request that is refused for the same reason as the feed, which a script cannot read.
 * - `cursor`: the last one that an earlier page saw.
 */
export class Feed {
  #url;
  #options;
  #connection = null;
  #cursor;
  #failures = 0;
  #socketFailures = 0;
  #hasSocketWorked = false;
  #openedAt = 0;
  #retryTimer = 0;
  #helloTimer = 0;
  #silenceTimer = 0;
  #lastMessageAt = 0;
  #silentSince = null;
  #reason = "";
  #isStopped = false;

  /** `url`: of the workspace, such as `https://photos.example.com/v1/workspaces/acme`. */
  constructor(url, options) {
    this.#url = url;
    this.#options = options;
    this.#cursor = options.cursor ?? null;
  }

  /** The last cursor that the feed has sent, or null. */
  get cursor() {
    return this.#cursor;
  }

  /** Connect now rather than at the next attempt; does nothing if there is a connection. */
  connect() {
    if (this.#connection || this.#isStopped) return;
    clearTimeout(this.#retryTimer);
    if (this.#failures || this.#silentSince) this.#reportWaiting(null);
    else this.#report("connecting");
    this.#open();
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#retryTimer);
    this.#close();
  }

  async #open() {
    const isSocket = this.#socketFailures < (this.#hasSocketWorked ? MAX_SOCKET_FAILURES : 1);
    const connection = { isSocket, hasHello: false, close: () => {} };
    this.#connection = connection;
    this.#openedAt = Date.now();
    this.#helloTimer = setTimeout(() => {
      this.#silentSince ??= this.#lastMessageAt || Date.now() - HELLO_TIMEOUT_MS;
      this.#retryLater(connection);
    }, HELLO_TIMEOUT_MS);
    const url = new URL(`${this.#url}/feed${isSocket ? "" : "/events"}`, window.location.href);
    if (this.#cursor) url.searchParams.set("cursor", this.#cursor);
    try {
      const ticket = await this.#options.getTicket?.();
      if (ticket) url.searchParams.set("ticket", ticket);
    } catch (error) {
      this.#reason = error.message;
      this.#retryLater(connection);
    }
    if (connection !== this.#connection) return;
    const source = isSocket ? new WebSocket(url.href.replace(/^http/, "ws")) : new EventSource(url.href);
    connection.close = () => source.close();
    source.addEventListener("message", ({ data }) => connection === this.#connection && this.#receive(connection, data));
    // An EventSource would come back by itself, but not with another ticket.
    for (const end of ["close", "error"]) source.addEventListener(end, () => this.#retryLater(connection));
  }

  #close() {
    clearTimeout(this.#helloTimer);
    clearTimeout(this.#silenceTimer);
    const connection = this.#connection;
    this.#connection = null;
    connection?.close();
  }

  #receive(connection, data) {
    clearTimeout(this.#helloTimer);
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#reconnectAfterSilence(), SILENCE_TIMEOUT_MS);
    this.#lastMessageAt = Date.now();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof message?.cursor === "string") this.#cursor = message.cursor;
    if (message?.type === "hello") {
      connection.hasHello = true;
      this.#failures = 0;
      if (connection.isSocket) {
        this.#socketFailures = 0;
        this.#hasSocketWorked = true;
      }
      this.#silentSince = null;
      this.#reason = "";
      this.#report("live");
      this.#options.onHello?.(message);
    } else if (message?.type === "photo") this.#options.onPhoto?.(message);
    else if (message?.type === "stats") this.#options.onStats?.(message);
    else if (message?.type === "health") this.#options.onHealth?.(message);
  }

  /** The browser does not report a dead connection (after sleep, or a NAT timeout), so open a new one. */
  #reconnectAfterSilence() {
    this.#silentSince = this.#lastMessageAt;
    this.#close();
    this.connect();
  }

  async #retryLater(connection) {
    if (connection !== this.#connection) return;
    this.#close();
    this.#chooseForm(connection);
    this.#failures += 1;
    // An attempt that was silent has waited already.
    const wait = Math.max(backoffMs(1), backoffMs(this.#failures) - (Date.now() - this.#openedAt));
    const retryAt = Date.now() + wait;
    this.#retryTimer = setTimeout(() => this.connect(), wait);
    this.#reportWaiting(retryAt);
    if (this.#failures > 1) await this.#findReason(retryAt);
  }

  /** Where server-sent events worked and no WebSocket ever did, they are used again; else a WebSocket gets another try. */
  #chooseForm({ isSocket, hasHello }) {
    if (isSocket) this.#socketFailures += hasHello ? 0 : 1;
    else if (!hasHello || this.#hasSocketWorked) this.#socketFailures = 0;
  }

  async #findReason(retryAt) {
    if (!this.#options.probe) return;
    try {
      await this.#options.probe();
      this.#reason = "";
    } catch (problem) {
      // An HTTP status means that the server answers, and says why it refuses.
      this.#reason = problem.status ? problem.message : "";
      if (problem.status) this.#silentSince = null;
    }
    if (this.#failures && !this.#connection && !this.#isStopped) this.#reportWaiting(retryAt);
  }

  #reportWaiting(retryAt) {
    this.#report("waiting", { silentSince: this.#silentSince, retryAt, reason: this.#reason });
  }

  #report(state, details) {
    this.#options.onState?.(state, details);
  }
}
