/** The feed's WebSocket: reconnects with the last cursor until it is stopped. */

import { backoffMs } from "./backoff.js";

/** A connection that has not sent `hello` by then is closed: a network may drop packets without an error. */
const HELLO_TIMEOUT_MS = 10_000;
/** The server sends a message at least every 5 s. After two missed heartbeats the connection counts as lost. */
const SILENCE_TIMEOUT_MS = 10_500;

/**
 * Calls `onHello({resumed})`, `onPhoto(message)`, `onStats(message)`, `onHealth(message)`, and `onState(state, details)`.
 *
 * States: `connecting` (the first attempt), `live`, and `waiting` (not connected). Details of `waiting`, times in ms since
 * 1970: `silentSince`, when the last message came, or null if the server closed the connection; `retryAt`, when the next
 * attempt starts, or null while one is running; `reason`, why the server refuses, or "".
 * `probe()` sends an HTTP request: it rejects with the reason why the WebSocket cannot be opened.
 */
export class Feed {
  #urlOf;
  #probe;
  #handlers;
  #socket = null;
  #cursor = null;
  #failures = 0;
  #retryTimer = 0;
  #silenceTimer = 0;
  #lastMessageAt = 0;
  #silentSince = null;
  #reason = "";
  #isStopped = false;

  constructor(urlOf, probe, handlers) {
    this.#urlOf = urlOf;
    this.#probe = probe;
    this.#handlers = handlers;
  }

  /** Connect now rather than at the next attempt; does nothing if there is a connection. */
  connect() {
    if (this.#socket || this.#isStopped) return;
    clearTimeout(this.#retryTimer);
    if (this.#failures || this.#silentSince) this.#reportWaiting(null);
    else this.#handlers.onState("connecting");
    this.#open();
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#retryTimer);
    this.#closeSocket();
  }

  #open() {
    const socket = new WebSocket(this.#urlOf(this.#cursor));
    this.#socket = socket;
    const helloTimer = setTimeout(() => {
      this.#silentSince ??= this.#lastMessageAt || Date.now() - HELLO_TIMEOUT_MS;
      this.#retryLater(socket);
    }, HELLO_TIMEOUT_MS);
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      clearTimeout(helloTimer);
      this.#receive(data);
    });
    socket.addEventListener("close", () => {
      clearTimeout(helloTimer);
      this.#retryLater(socket);
    });
  }

  #closeSocket() {
    clearTimeout(this.#silenceTimer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #receive(data) {
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
      this.#failures = 0;
      this.#silentSince = null;
      this.#reason = "";
      this.#handlers.onState("live");
      this.#handlers.onHello(message);
    } else if (message?.type === "photo") this.#handlers.onPhoto(message);
    else if (message?.type === "stats") this.#handlers.onStats(message);
    else if (message?.type === "health") this.#handlers.onHealth(message);
  }

  /** The browser does not report a dead connection (after sleep, or a NAT timeout), so open a new one. */
  #reconnectAfterSilence() {
    this.#silentSince = this.#lastMessageAt;
    this.#closeSocket();
    this.connect();
  }

  async #retryLater(socket) {
    if (socket !== this.#socket) return;
    this.#closeSocket();
    this.#failures += 1;
    const wait = backoffMs(this.#failures);
    const retryAt = Date.now() + wait;
    this.#retryTimer = setTimeout(() => this.connect(), wait);
    this.#reportWaiting(retryAt);
    if (this.#failures > 1) await this.#findReason(retryAt);
  }

  /** A script cannot read why a WebSocket was refused (session ended, database unavailable), so ask by HTTP. */
  async #findReason(retryAt) {
    try {
      await this.#probe();
      this.#reason = "";
    } catch (problem) {
      // An HTTP status means that the server answers, and says why it refuses.
      this.#reason = problem.status ? problem.message : "";
      if (problem.status) this.#silentSince = null;
    }
    if (this.#failures && !this.#socket && !this.#isStopped) this.#reportWaiting(retryAt);
  }

  #reportWaiting(retryAt) {
    this.#handlers.onState("waiting", { silentSince: this.#silentSince, retryAt, reason: this.#reason });
  }
}
