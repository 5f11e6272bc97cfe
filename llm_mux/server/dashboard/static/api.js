// The daemon's management API as the pages use it. Rule: the session's token goes with every request, the key with none
// but the sign-in; a session that ended is renewed over the page and the request is repeated.

const ROOT = "/v0/management";
const TOKEN = "llm-mux.session";

/** An answer that says no. `code` is the daemon's word for it, `param` the field that it is about. */
export class Refusal extends Error {
  /** @param {number} status @param {any} body @param {Headers} headers */
  constructor(status, body, headers) {
    const error = body?.error ?? {};
    super(typeof error === "string" ? error : error.message || `The daemon answered ${status}.`);
    this.status = status;
    this.code = error.code ?? "";
    this.param = error.param ?? "";
    this.problems = error.problems ?? body?.problems ?? null;
    this.wait = Number(headers.get("Retry-After")) || 0;
  }
}

/** Nobody answers at all. */
export class Silence extends Error {
  constructor() {
    super("llm-mux does not answer. Is it running? `llm-mux serve` starts it.");
  }
}

/** What happens when the session is over: set by the sign-in, resolves once there is a new one. */
let signIn = async () => {};
/** What is told whether the daemon answers. @type {(up: boolean) => void} */
let heard = () => {};

/** @param {() => Promise<void>} ask @param {(up: boolean) => void} listener */
export function connect(ask, listener) {
  signIn = ask;
  heard = listener;
}

export const token = () => localStorage.getItem(TOKEN) ?? "";

/** @type {Promise<void> | null} */
let renewing = null;

/** One sign-in for all who wait; until it is done nothing else is asked, for the cookie is there before the token. */
export function renewed() {
  renewing ??= signIn().finally(() => { renewing = null; });
  return renewing;
}

/** @param {string | null} value */
export function keepToken(value) {
  if (value === null) localStorage.removeItem(TOKEN);
  else localStorage.setItem(TOKEN, value);
}

/**
 * One request of the page itself; the answer as it is, whatever its status.
 * @param {string} path from the root of the daemon
 * @param {RequestInit} [options]
 */
export async function raw(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token()) headers.set("X-CSRF-Token", token());
  try {
    const response = await fetch(path, { ...options, headers, credentials: "same-origin", cache: "no-store" });
    heard(true);
    return response;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    heard(false);
    throw new Silence();
  }
}

/** @param {Response} response */
const signedOut = (response) => response.status === 401 || response.status === 403;

const AGAIN = new Set(["session_expired", "session_missing", "csrf_token_wrong", "csrf_token_missing", "management_key_missing"]);

/**
 * A management request, repeated after a sign-in where that is what is missing. Throws Refusal or Silence.
 * @param {string} method @param {string} path below the management root
 * @param {{body?: any, text?: string, tag?: string, query?: Record<string, any>, signal?: AbortSignal}} [options]
 * @returns {Promise<Response>}
 */
async function asked(method, path, options = {}) {
  const given = Object.entries(options.query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = given.length ? `?${new URLSearchParams(given)}` : "";
  const headers = options.text !== undefined ? { "Content-Type": "application/yaml" } : options.body !== undefined ? { "Content-Type": "application/json" } : {};
  if (options.tag) headers["If-Match"] = options.tag;
  const body = options.text ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  for (;;) {
    await renewing;
    options.signal?.throwIfAborted();
    const sent = token();
    const response = await raw(`${ROOT}${path}${query}`, { method, headers, body, signal: options.signal });
    if (response.ok) return response;
    const refusal = new Refusal(response.status, await response.json().catch(() => null), response.headers);
    if (!signedOut(response) || !AGAIN.has(refusal.code)) throw refusal;
    if (sent === token()) await renewed();
  }
}

/** @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] @returns {Promise<any>} */
export const get = async (path, query, signal) => (await asked("GET", path, { query, signal })).json();

/** A file: its text and its name. @param {string} path @param {Record<string, any>} [query] */
export async function getFile(path, query) {
  const response = await asked("GET", path, { query });
  return { text: await response.text(), name: /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "llm-mux.txt" };
}

/** A text and the name of its version. @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] */
export async function getText(path, query, signal) {
  const response = await asked("GET", path, { query, signal });
  return { text: await response.text(), tag: response.headers.get("ETag") ?? "" };
}

/** @param {string} path @param {any} [body] @param {Record<string, any>} [query] @returns {Promise<any>} */
export const post = async (path, body, query) => (await asked("POST", path, { body, query })).json();

/** @param {string} path @param {any} body @returns {Promise<any>} */
export const put = async (path, body) => (await asked("PUT", path, { body })).json();

/** @param {string} path @param {any} body @returns {Promise<any>} */
export const patch = async (path, body) => (await asked("PATCH", path, { body })).json();

/** @param {string} path @param {Record<string, any>} [query] @returns {Promise<any>} */
export const remove = async (path, query) => (await asked("DELETE", path, { query })).json();

/** @param {"PUT" | "POST"} method @param {string} path @param {string} text @param {string} [tag] the version that it is to replace @returns {Promise<any>} */
export const sendText = async (method, path, text, tag) => (await asked(method, path, { text, tag })).json();

/**
 * Server-sent events until `signal`, for as long as somebody looks at the page; begins again by itself when the connection
 * breaks. `opened` is told of every beginning before the first event of it, `lost` of a break.
 * @param {string} path @param {{query?: () => Record<string, any>, signal: AbortSignal, opened?: () => any, lost?: () => void, heard: (data: any) => void}} given
 */
export async function follow(path, { query = () => ({}), signal, opened = () => {}, lost = () => {}, heard }) {
  let pause = 500;
  while (!signal.aborted) {
    await lookedAt(signal);
    const away = new AbortController();
    const look = () => document.hidden && away.abort();
    document.addEventListener("visibilitychange", look);
    try {
      const response = await asked("GET", path, { query: query(), signal: AbortSignal.any([signal, away.signal]) });
      pause = 500;
      await opened();
      for await (const { data } of events(response)) heard(JSON.parse(data));
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refusal && error.status < 500) throw error;
    } finally {
      document.removeEventListener("visibilitychange", look);
    }
    if (away.signal.aborted) continue;
    lost();
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 10000);
  }
}

/** Once somebody looks at the page, or nobody wants to know any more. @param {AbortSignal} signal @returns {Promise<void>} */
function lookedAt(signal) {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

/** The pieces of text of a response as they come. @param {Response} response */
export async function* pieces(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The server-sent events of a response. @param {Response} response */
async function* events(response) {
  let rest = "";
  for await (const piece of pieces(response)) {
    rest += piece;
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const event = parsed(rest.slice(0, end));
      rest = rest.slice(end + 2);
      if (event !== null) yield event;
    }
  }
}

/** One event, or null for a comment. @param {string} block */
export function parsed(block) {
  let name = "message";
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? { name, data: data.join("\n") } : null;
}
