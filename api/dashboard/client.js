/** The HTTP api of one workspace, as this page uses it. */

import { harmless, setClock } from "./wording.js";

/** A network may swallow a request without a word; so long an answer may take. */
const ANSWER_SECONDS = 30;
/** An upload of which nothing moves for so long, or whose answer takes so long, is given up. */
const LONGEST_STALL_MS = 60_000;

/** What went wrong with a request, from its problem document (RFC 9457) where there is one. `status` 0: no answer. */
export class Problem extends Error {
  /** Seconds after which the server wants to be asked again, or 0. */
  retryAfter = 0;

  constructor(status, title, detail = "") {
    super(harmless(detail || title));
    this.status = status;
    this.title = harmless(title);
    this.detail = harmless(detail);
  }

  /** Whether the same request may well succeed a little later: no answer, or one that says so. Source: RFC 9110, 15. */
  get isPassing() {
    return [0, 408, 425, 429, 500, 502, 503, 504].includes(this.status);
  }

  static unreachable() {
    return new Problem(0, "No answer", "Thumbstream did not answer. Is it running?");
  }

  static of(status, statusText, body) {
    let problem = {};
    try {
      problem = JSON.parse(body) ?? {};
    } catch {
      // Some proxy's page: the status says enough.
    }
    const title = typeof problem.title === "string" ? problem.title : statusText || `Status ${status}`;
    return new Problem(status, title, detailOf(problem));
  }
}

function detailOf({ detail, errors }) {
  const fields = Array.isArray(errors) ? errors.map(lineOf) : Object.entries(errors ?? {}).map(([name, text]) => `${name}: ${text}`);
  const sentence = typeof detail === "string" ? detail : "";
  return [sentence, ...fields.filter((field) => field && !sentence.includes(field))].filter(Boolean).join(" · ");
}

function lineOf(error) {
  if (typeof error === "string") return error;
  const where = error?.field ?? error?.pointer ?? error?.loc ?? "";
  const what = error?.detail ?? error?.message ?? error?.msg ?? "";
  return [Array.isArray(where) ? where.join(".") : where, what].filter(Boolean).join(": ");
}

/** Requests for one workspace. Each rejects with a `Problem`; a 401 is also told to `onSignedOut`. */
export class Client {
  #root;
  #onSignedOut;

  constructor(workspace, { onSignedOut }) {
    this.#root = `/v1/workspaces/${encodeURIComponent(workspace)}`;
    this.#onSignedOut = onSignedOut;
  }

  /** One page of photos, newest first: `{items, next_cursor}`. */
  list({ status, cursor, limit, signal, seconds }) {
    const query = new URLSearchParams({ limit: String(limit) });
    if (status) query.set("status", status);
    if (cursor) query.set("cursor", cursor);
    return this.#json("GET", `photos?${query}`, { signal, seconds });
  }

  photo(id) {
    return this.#json("GET", `photos/${encodeURIComponent(id)}`);
  }

  remove(id) {
    return this.#json("DELETE", `photos/${encodeURIComponent(id)}`);
  }

  retry(id) {
    return this.#json("POST", `photos/${encodeURIComponent(id)}/retry`);
  }

  /** The address of the feed; with a cursor, from there on. */
  feedAddress(cursor) {
    const url = new URL(`${this.#root}/feed`, window.location.href);
    url.protocol = url.protocol.replace("http", "ws");
    if (cursor) url.searchParams.set("cursor", cursor);
    return url.href;
  }

  /**
   * Upload one file; `onProgress` gets fractions of 1. `key` makes a repeated upload return the first photo.
   *
   * XMLHttpRequest, because fetch does not tell how much of a body is sent.
   */
  upload(file, { key, onProgress, signal }) {
    const form = new FormData();
    form.append("photo", file, file.name);
    const request = new XMLHttpRequest();
    let stall = 0;
    return new Promise((resolve, reject) => {
      const giveUp = (problem) => {
        reject(problem);
        request.abort();
      };
      const expectProgress = () => {
        clearTimeout(stall);
        stall = setTimeout(() => giveUp(Problem.unreachable()), LONGEST_STALL_MS);
      };
      signal.addEventListener("abort", () => giveUp(new Problem(0, "Cancelled", "Cancelled.")), { once: true });
      request.upload.addEventListener("progress", ({ loaded, total }) => {
        expectProgress();
        onProgress(total ? loaded / total : 0);
      });
      request.addEventListener("error", () => reject(Problem.unreachable()));
      request.addEventListener("loadend", () => clearTimeout(stall));
      request.addEventListener("load", () => {
        if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText));
        else reject(this.#problem(request.status, request.statusText, request.responseText, request.getResponseHeader("Retry-After")));
      });
      expectProgress();
      request.open("POST", `${this.#root}/photos`);
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("Idempotency-Key", key);
      request.send(form);
    });
  }

  async #json(method, path, { signal, seconds = ANSWER_SECONDS } = {}) {
    let response;
    let body;
    const late = AbortSignal.timeout(seconds * 1000);
    try {
      response = await fetch(`${this.#root}/${path}`, {
        method,
        signal: signal ? AbortSignal.any([signal, late]) : late,
        headers: { Accept: "application/json" },
      });
      body = await response.text();
    } catch (error) {
      throw error.name === "AbortError" ? error : Problem.unreachable();
    }
    setClock(response.headers.get("Date"));
    if (!response.ok) throw this.#problem(response.status, response.statusText, body, response.headers.get("Retry-After"));
    return body ? JSON.parse(body) : null;
  }

  #problem(status, statusText, body, retryAfter) {
    const problem = Problem.of(status, statusText, body);
    problem.retryAfter = Math.max(0, Number(retryAfter) || 0);
    if (status === 401) this.#onSignedOut(problem);
    return problem;
  }
}
