// The server's HTTP API, at the place from where this page came.

import { noteServerTime } from "./format.js";

const REPLY_MS_MAX = 10_000;

/** A reply that says no; `problem` is the server's own account of it. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the server answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

let signInWanted = () => {};

/** Have this called whenever the server wants to know who asks. */
export function onSignInWanted(callback) {
  signInWanted = callback;
}

/**
 * Ask; the JSON of the reply, with its `Link` to the next page as `next`.
 * Throws ApiError when the answer is no, TypeError or a timeout's DOMException when there is none.
 */
export async function ask(method, path, body) {
  const reply = await fetch(path, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    signal: AbortSignal.timeout(REPLY_MS_MAX),
  });
  if (reply.headers.has("Date")) noteServerTime(reply.headers.get("Date"));
  const isJson = /json/.test(reply.headers.get("Content-Type") ?? "");
  const data = isJson ? await reply.json() : {};
  if (reply.status === 401) signInWanted();
  if (!reply.ok) throw new ApiError(reply.status, data);
  return { data, next: /<([^>]*)>; rel="next"/.exec(reply.headers.get("Link") ?? "")?.[1] };
}

export const get = async (path) => (await ask("GET", path)).data;

/** Pages of a listing, one by one. Its links begin at the root, which need not be where we are. */
export async function* pages(path) {
  for (let next = path; next !== undefined; ) {
    const page = await ask("GET", next.replace(/^\//, ""));
    yield page.data;
    next = page.next;
  }
}

/** What `/readyz` tells, whether ready or not: `statistics`, and `detail` when it is not. */
export async function readiness() {
  try {
    return await get("readyz");
  } catch (error) {
    if (error instanceof ApiError && error.problem.statistics) return error.problem;
    throw error;
  }
}

export const taskPath = (id) => `tasks/${encodeURIComponent(id)}`;
