/** The feed's WebSocket: kept open, resumed from the last cursor, given up only when signed out. */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
/** A socket that neither opens nor says hello by then is given up: the network may swallow packets in silence. */
const HELLO_WITHIN_MS = 10_000;
/** A page cannot see that its socket is dead (a sleeping laptop, a forgetful NAT): after such a silence it takes a new one. */
const LONGEST_SILENCE_MS = 90_000;

/**
 * Calls `onHello({resumed})`, `onPhoto(message)`, `onStats(message)`, and `onState(state, wait)` with state
 * `connecting`, `live`, `waiting` (until `wait.until`, ms) or `signed out`. `probe()` tells by HTTP why no socket opens.
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
    this.#handlers.onState("connecting");
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
    const late = setTimeout(() => this.#lost(socket), HELLO_WITHIN_MS);
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
    this.#silence = setTimeout(() => {
      this.#leave();
      this.#open();
    }, LONGEST_SILENCE_MS);
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof message?.cursor === "string") this.#cursor = message.cursor;
    if (message?.type === "hello") {
      this.#failures = 0;
      this.#handlers.onState("live");
      this.#handlers.onHello(message);
    } else if (message?.type === "photo") this.#handlers.onPhoto(message);
    else if (message?.type === "stats") this.#handlers.onStats(message);
  }

  async #lost(socket) {
    if (socket !== this.#socket) return;
    this.#leave();
    // Full jitter from half up: a thousand pages must not come back in step after a restart.
    const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    const wait = ceiling * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.connect(), wait);
    this.#handlers.onState("waiting", { until: Date.now() + wait });
    // A refused upgrade has no reason that a script may read: ask by HTTP whether the session is the cause.
    if (this.#failures > 1) await this.#probe().catch(() => {});
  }
}
