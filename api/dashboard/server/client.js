/** The HTTP API as this page uses it. */

import { apiUrl } from "../page/elements.js";
import { setClock, visible } from "../page/format.js";
import { jsonLines } from "./json_lines.js";

const REQUEST_TIMEOUT_SECONDS = 30;
/** An upload fails when it makes no progress, or gets no answer, for this long. */
const UPLOAD_STALL_MS = 60_000;

/** A failed request, described by its problem document (RFC 9457) if there is one. `status` 0: no answer. */
export class Problem extends Error {
  /** From the Retry-After header, or 0. */
  retryAfterSeconds = 0;

  constructor(status, title, detail = "") {
    super(visible(detail || title));
    this.status = status;
    this.title = visible(title);
    this.detail = visible(detail);
  }

  /** Whether the same request may succeed later. Source: RFC 9110, section 15. */
  get isTemporary() {
    return [0, 408, 425, 429, 500, 502, 503, 504].includes(this.status);
  }

  static noAnswer() {
    return new Problem(0, "No answer", "The server does not answer. Is it running?");
  }

  static of(status, statusText, body) {
    let problem = {};
    try {
      problem = JSON.parse(body) ?? {};
    } catch {
      // Not JSON, such as the error page of a proxy: the status has to do.
    }
    const title = typeof problem.title === "string" ? problem.title : statusText || `Status ${status}`;
    return new Problem(status, title, detailOf(problem));
  }
}

function detailOf({ detail, errors }) {
  const fields = Array.isArray(errors) ? errors.map(fieldError) : Object.entries(errors ?? {}).map(([name, text]) => `${name}: ${text}`);
  const sentence = typeof detail === "string" ? detail : "";
  return [sentence, ...fields.filter((field) => field && !sentence.includes(field))].filter(Boolean).join(" · ");
}

function fieldError(error) {
  if (typeof error === "string") return error;
  const where = error?.field ?? error?.pointer ?? error?.loc ?? "";
  const what = error?.detail ?? error?.message ?? error?.msg ?? "";
  return [Array.isArray(where) ? where.join(".") : where, what].filter(Boolean).join(": ");
}

/** Requests for one workspace. Each rejects with a `Problem`; a 401 also calls `onSignedOut`. */
export class Client {
  #workspace;
  #root;
  #onSignedOut;

  constructor(workspace, { onSignedOut }) {
    this.#workspace = workspace;
    this.#root = apiUrl(`v1/workspaces/${encodeURIComponent(workspace)}`);
    this.#onSignedOut = onSignedOut;
  }

  /** One page of photos, newest first: `{items, next_cursor}`. */
  list({ status, query: words, cursor, limit, signal, timeoutSeconds }) {
    const query = new URLSearchParams({ limit: String(limit) });
    if (status) query.set("status", status);
    if (words) query.set("q", words);
    if (cursor) query.set("cursor", cursor);
    return this.#photos("GET", `?${query}`, { signal, timeoutSeconds });
  }

  photo(id) {
    return this.#photos("GET", `/${encodeURIComponent(id)}`);
  }

  /** The way of a photo through the pipeline: `{uploads, position, …}`. */
  timeline(id, options) {
    return this.#photos("GET", `/${encodeURIComponent(id)}/timeline`, options);
  }

  remove(id) {
    return this.#photos("DELETE", `/${encodeURIComponent(id)}`);
  }

  /** Delete many photos; `keepalive`: also when the page is left at once. */
  removeMany(ids, { keepalive = false } = {}) {
    return this.#photos("POST", "/bulk-delete", { body: JSON.stringify({ photo_ids: ids }), keepalive });
  }

  /** Where the originals of these photos are one zip. */
  archiveUrl(ids) {
    return `${this.#root}/photos/download?ids=${ids.join(",")}`;
  }

  retry(id) {
    return this.#photos("POST", `/${encodeURIComponent(id)}/retry`);
  }

  /** Figures over time: `{span, times, ready_per_minute, …, marks}`. */
  figures(span) {
    return this.#json("GET", `${this.#root}/figures?${new URLSearchParams({ span })}`);
  }

  /** Failed photos by error code and content type: `{failed, groups}`; of one producer if it is given. */
  failures(producer) {
    return this.#json("GET", `${this.#root}/failures${producer ? `?${new URLSearchParams({ producer })}` : ""}`);
  }

  /** Render all photos again that meet `criteria`: `{count, next_cursor}`. */
  retryAll(criteria) {
    return this.#json("POST", `${this.#root}/photos/retry`, { body: JSON.stringify(criteria) });
  }

  /** Dead letters, newest first: `{items, matched, truncated}`. `filter`: the conditions of the API. */
  deadLetters(filter) {
    return this.#json("GET", apiUrl(`v1/dead?${new URLSearchParams(filter)}`));
  }

  /** "replay" or "drop" dead letters: `{matched, done, skipped, more, skipped_because}`. */
  settleDeadLetters(how, criteria) {
    return this.#json("POST", apiUrl(`v1/dead/${how}`), { body: JSON.stringify(criteria) });
  }

  /** The workers of the last minute, and what each renders: `{items, recipe, unknown_reason}`. */
  workers() {
    return this.#json("GET", apiUrl("v1/workers"));
  }

  /** As `workers`; of other workspaces' photos only that there are some. */
  workspaceWorkers() {
    return this.#json("GET", `${this.#root}/workers`);
  }

  /** Ready photos of all workspaces by recipe, and today's: `{recipe, renditions, items}`. */
  recipes() {
    return this.#json("GET", apiUrl("v1/recipes"));
  }

  /** Try another recipe on some photos of the workspace. Yields `{type: "start" | "photo" | "total", …}` as they come. */
  async *tryRecipe(order, { signal }) {
    const body = JSON.stringify({ ...order, workspace_id: this.#workspace });
    let response;
    try {
      response = await fetch(apiUrl("v1/recipes/trial"), { method: "POST", body, signal });
    } catch (error) {
      throw error.name === "AbortError" ? error : Problem.noAnswer();
    }
    if (!response.ok) throw this.#problem(response.status, response.statusText, await response.text(), null);
    yield* jsonLines(response.body, { silentSeconds: REQUEST_TIMEOUT_SECONDS, lost: Problem.noAnswer });
  }

  /** Render all photos of every workspace again that meet `criteria`: `{count, next_cursor}`. */
  retryEverywhere(criteria) {
    return this.#json("POST", apiUrl("v1/photos/retry"), { body: JSON.stringify(criteria) });
  }

  /** One page of workspaces, by name: `{items, next_cursor}`. */
  workspaces(cursor) {
    return this.#json("GET", apiUrl(`v1/workspaces?${new URLSearchParams({ limit: "100", cursor })}`));
  }

  /** Who is signed in: `{name, role, workspace_id}`. */
  session() {
    return this.#json("GET", apiUrl("session"));
  }

  /** Exchange the key for a session cookie. */
  signIn(key) {
    return this.#request("POST", apiUrl("session"), { body: new URLSearchParams({ key }) });
  }

  /** End the session; the cookie is invalid from then on. */
  signOut() {
    return this.#request("DELETE", apiUrl("session"));
  }

  /** The URL of the workspace, below which the feed is. */
  get workspaceUrl() {
    return this.#root;
  }

  /**
   * Upload one file; `onProgress(fraction)` is called as it is sent. Uploads with the same `key` give the same photo.
   *
   * By XMLHttpRequest, because fetch does not report upload progress.
   */
  upload(file, { key, onProgress, signal }) {
    const form = new FormData();
    form.append("photo", file, file.name);
    const request = new XMLHttpRequest();
    let timer = 0;
    return new Promise((resolve, reject) => {
      const abort = (problem) => {
        reject(problem);
        request.abort();
      };
      const restartTimer = () => {
        clearTimeout(timer);
        timer = setTimeout(() => abort(Problem.noAnswer()), UPLOAD_STALL_MS);
      };
      signal.addEventListener("abort", () => abort(new Problem(0, "Cancelled", "Cancelled.")), { once: true });
      request.upload.addEventListener("progress", ({ loaded, total }) => {
        restartTimer();
        onProgress(total ? loaded / total : 0);
      });
      request.addEventListener("error", () => reject(Problem.noAnswer()));
      request.addEventListener("loadend", () => clearTimeout(timer));
      request.addEventListener("load", () => {
        const { status, statusText, responseText } = request;
        if (status >= 200 && status < 300) resolve(JSON.parse(responseText));
        else reject(this.#problem(status, statusText, responseText, request.getResponseHeader("Retry-After")));
      });
      restartTimer();
      request.open("POST", `${this.#root}/photos`);
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("Idempotency-Key", key);
      request.send(form);
    });
  }

  #photos(method, path, options) {
    return this.#json(method, `${this.#root}/photos${path}`, options);
  }

  async #json(method, url, options) {
    const body = await this.#request(method, url, options);
    return body ? JSON.parse(body) : null;
  }

  /** Send a request and return the body of its response as text. */
  async #request(method, url, { body = null, signal, keepalive = false, timeoutSeconds = REQUEST_TIMEOUT_SECONDS } = {}) {
    const timeout = AbortSignal.timeout(timeoutSeconds * 1000);
    let response;
    let text;
    try {
      response = await fetch(url, {
        method,
        body,
        keepalive,
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        headers: { Accept: "application/json" },
      });
      text = await response.text();
    } catch (error) {
      throw error.name === "AbortError" ? error : Problem.noAnswer();
    }
    setClock(response.headers.get("Date"));
    if (!response.ok) throw this.#problem(response.status, response.statusText, text, response.headers.get("Retry-After"));
    return text;
  }

  #problem(status, statusText, body, retryAfter) {
    const problem = Problem.of(status, statusText, body);
    problem.retryAfterSeconds = Math.max(0, Number(retryAfter) || 0);
    if (status === 401) this.#onSignedOut();
    return problem;
  }
}
