// Requests to the HTTP API of the server that this page was loaded from.

import { noteServerTime } from "./clock.js";

const REPLY_MS_MAX = 20_000;
const AGAIN_MS = 250; // a change of the network cuts requests off

/** Where the server is, perhaps below a proxy's path: this module is at `ui/static/VERSION/api/` below it. */
export const BASE = new URL("../../../../", import.meta.url);

/** The URL of a path of the API, which is relative: `tasks/a3f0`. */
export const apiUrl = (path) => new URL(path, BASE);

/** An error reply; `problem` holds its problem details (RFC 9457). */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the server answered ${status}`);
    Object.assign(this, { status, problem });
  }
}

/** No reply: the server cannot be reached, or did not answer in time. */
export class NoReplyError extends Error {
  constructor() {
    super("the server does not answer");
  }
}

const observers = new Set();

/** Call a function with each reply's status, and with 0 for a request without a reply. */
export function onReply(observer) {
  observers.add(observer);
}

const tell = (status, problem) => observers.forEach((observer) => observer(status, problem));

/**
 * Send a request and return the reply, which may be an error reply.
 * @param path relative to the server, such as `tasks?limit=50`
 * @throws NoReplyError
 */
export async function send(method, path, { body, headers = {}, signal } = {}) {
  const sent = body === undefined ? {} : { "Content-Type": "application/json" };
  const content = body === undefined ? undefined : JSON.stringify(body);
  const options = { method, body: content, headers: { ...sent, ...headers }, signal };
  try {
    const reply = await (method === "GET" ? fetchTwice(apiUrl(path), options) : fetch(apiUrl(path), options));
    noteServerTime(reply.headers.get("Date"));
    return reply;
  } catch (error) {
    if (signal?.aborted) throw error;
    tell(0);
    throw new NoReplyError();
  }
}

/** Fetch, and fetch once more if there is no reply. */
async function fetchTwice(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    return fetch(url, options);
  }
}

/**
 * Send a request and return its JSON as `data`, its status, and the cursor of the next page.
 * @throws ApiError, NoReplyError
 */
export async function request(method, path, { body, headers, signal } = {}) {
  const limit = AbortSignal.timeout(REPLY_MS_MAX);
  const either = signal ? AbortSignal.any([signal, limit]) : limit;
  const reply = await send(method, path, { body, headers, signal: either }).catch((error) => {
    throw limit.aborted && !signal?.aborted ? (tell(0), new NoReplyError()) : error;
  });
  const isJson = reply.headers.get("Content-Type")?.includes("json");
  const data = isJson ? await reply.json() : {};
  tell(reply.status, data);
  if (!reply.ok) throw new ApiError(reply.status, data);
  return { data, status: reply.status, next: nextCursor(reply.headers.get("Link")) };
}

/** The JSON of a GET. */
export const get = async (path, options) => (await request("GET", path, options)).data;

function nextCursor(link) {
  const found = link?.match(/<([^>]*)>/);
  return found ? new URL(found[1], BASE).searchParams.get("cursor") : null;
}

/** A query string of the given values, without the empty ones; lists become repeated parameters. */
export function queryOf(values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const each of [value].flat()) {
      if (each !== undefined && each !== null && each !== "") query.append(name, each);
    }
  }
  return query.size ? `?${query}` : "";
}
