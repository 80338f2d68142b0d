/** The feed's WebSocket: kept open, resumed from the last cursor, given up only when signed out. */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
/** A socket that neither opens nor says hello by then is given up: the network may swallow packets in silence. */
const HELLO_WITHIN_MS = 10_000;
/** The server says something every 5 s, if only that it is there. Two heartbeats missed: the connection is lost. */
const LONGEST_SILENCE_MS = 10_500;

/**
 * Calls `onHello({resumed})`, `onPhoto(message)`, `onStats(message)`, `onHealth(message)`, and `onState(state, details)`.
 *
 * States: `connecting` (the first time), `live`, `waiting` (not connected) and `signed out`. Details of `waiting`:
 * `silentSince`, ms since 1970, when the server was last heard, or null where it closed the connection itself; `until`,
 * ms since 1970, when it is tried again, or null while it is being tried; `reason`, what HTTP says of it, or "".
 * `probe()` asks by HTTP: it rejects with the reason why no socket opens.
 */
export class Feed {
  #addressOf;
  #handlers;
  #probe;
  #socket = null;
  #cursor = null;
  #failures = 0;
  #timer = 0;
  #silence = 0;
  #heardAt = 0;
  #silentSince = null;
  #reason = "";
  #isStopped = false;

  constructor(addressOf, probe, handlers) {
    this.#addressOf = addressOf;
    this.#probe = probe;
    this.#handlers = handlers;
  }

  /** Connect now, also when a wait is under way; nothing if there is a socket already. */
  connect() {
    if (this.#socket || this.#isStopped) return;
    clearTimeout(this.#timer);
    if (this.#failures || this.#silentSince) this.#tellWaiting(null);
    else this.#handlers.onState("connecting");
    this.#open();
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#leave();
  }

  #open() {
    const socket = new WebSocket(this.#addressOf(this.#cursor));
    this.#socket = socket;
    const late = setTimeout(() => {
      this.#silentSince ??= this.#heardAt || Date.now() - HELLO_WITHIN_MS;
      this.#lost(socket);
    }, HELLO_WITHIN_MS);
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      clearTimeout(late);
      this.#take(data);
    });
    socket.addEventListener("close", () => {
      clearTimeout(late);
      this.#lost(socket);
    });
  }

  #leave() {
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #take(data) {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#silent(), LONGEST_SILENCE_MS);
    this.#heardAt = Date.now();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof message?.cursor === "string") this.#cursor = message.cursor;
    if (message?.type === "hello") {
      this.#failures = 0;
      this.#silentSince = null;
      this.#reason = "";
      this.#handlers.onState("live");
      this.#handlers.onHello(message);
    } else if (message?.type === "photo") this.#handlers.onPhoto(message);
    else if (message?.type === "stats") this.#handlers.onStats(message);
    else if (message?.type === "health") this.#handlers.onHealth(message);
  }

  /** A page cannot see that its socket is dead (a sleeping laptop, a forgetful NAT): take a new one. */
  #silent() {
    this.#silentSince = this.#heardAt;
    this.#leave();
    this.connect();
  }

  async #lost(socket) {
    if (socket !== this.#socket) return;
    this.#leave();
    // Full jitter from half up: a thousand pages must not come back in step after a restart.
    const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    const wait = ceiling * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.connect(), wait);
    this.#tellWaiting(Date.now() + wait);
    if (this.#failures > 1) await this.#askWhy(Date.now() + wait);
  }

  /** A refused upgrade has no reason that a script may read: ask by HTTP whether the session is the cause, or a part. */
  async #askWhy(until) {
    try {
      await this.#probe();
      this.#reason = "";
    } catch (problem) {
      // A problem with a status is an answer: the server is there, and says what is not.
      this.#reason = problem.status ? problem.message : "";
      if (problem.status) this.#silentSince = null;
    }
    if (this.#failures && !this.#socket && !this.#isStopped) this.#tellWaiting(until);
  }

  #tellWaiting(until) {
    this.#handlers.onState("waiting", { silentSince: this.#silentSince, until, reason: this.#reason });
  }
}
