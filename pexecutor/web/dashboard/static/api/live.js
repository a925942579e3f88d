// The one stream of events of the page. It is the only owner of the connection's state.

import { signal } from "../vendor/signals.js";
import { apiUrl, onReply } from "./client.js";
import { serverTime } from "./clock.js";
import { onLeaving } from "./presence.js";

const KINDS = ["task", "progress", "skipped", "paused", "resumed"];
const FLUSH_MS = 250;
const RETRY_MS = 1000;
const RETRY_MS_MAX = 15_000;
const POLL_MS = 5000;

/**
 * The state of the connection.
 *
 * `state` is `connecting`, `live`, `polling` (requests are answered, but there is no stream: `reason` says why) or
 * `lost`. `at` is when the page last heard from the server, in ms since 1970; `retryAt` when it tries again.
 */
export const connection = signal({ state: "connecting", at: serverTime() });

const subscribers = new Set();
let source;
let retryTimer;
let retryMs = RETRY_MS;
let gathered = [];
let flushTimer;
let wantsAll = false;

/**
 * Call a function with what happened, several times a second at most.
 * @param receive gets a list of events, each with `kind`, `data` and `id`, or null: read everything again
 * @returns a function that ends it
 */
export function subscribe(receive) {
  subscribers.add(receive);
  return () => subscribers.delete(receive);
}

/** Open the stream, and read again what the reply to a lost one would have told. */
export function connect() {
  clearTimeout(retryTimer);
  source?.close();
  const opened = (source = new EventSource(apiUrl("events")));
  let isFirst = true; // later the browser sends the last event's id, and gets the missed events or a gap
  opened.onopen = () => {
    retryMs = RETRY_MS;
    become({ state: "live", at: serverTime() });
    if (isFirst) gather(null);
    isFirst = false;
  };
  opened.onerror = () => {
    if (opened === source) explain(opened.readyState === EventSource.CLOSED);
  };
  for (const kind of KINDS) opened.addEventListener(kind, (event) => gather({ kind, event }));
  opened.addEventListener("gap", () => gather(null));
  opened.addEventListener("drain", (event) => gather({ kind: "drain", event }));
}

/** Close the stream, for good. */
export function disconnect() {
  clearTimeout(retryTimer);
  source?.close();
  source = undefined;
}

/** Find out why the stream ended: an event source does not tell. Open it again later, and poll until then. */
async function explain(isClosed) {
  if (!isClosed) become({ ...connection.value, state: "lost", reason: undefined });
  const stop = new AbortController();
  const reply = await fetch(apiUrl("events"), { signal: stop.signal }).catch(() => null);
  const problem = reply && !reply.ok ? await reply.json().catch(() => ({})) : null;
  stop.abort();
  if (source?.readyState === EventSource.OPEN) return;
  if (problem) become({ state: "polling", reason: problem.detail, status: reply.status, at: serverTime() });
  else if (!reply) become({ ...connection.value, state: "lost", reason: undefined });
  retryLater();
}

function retryLater() {
  clearTimeout(retryTimer);
  retryTimer = setTimeout(connect, retryMs);
  connection.value = { ...connection.value, retryAt: serverTime() + retryMs };
  retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
}

function become(state) {
  connection.value = state;
}

/** Gather events for a moment: thousands a second are read in a few batches, and parsed there. */
function gather(event) {
  if (event === null) wantsAll = true;
  else gathered.push(event);
  flushTimer ??= setTimeout(flush, FLUSH_MS);
}

function flush() {
  flushTimer = undefined;
  const [all, events] = [wantsAll, gathered];
  [wantsAll, gathered] = [false, []];
  if (connection.value.state === "live") connection.value = { state: "live", at: serverTime() };
  if (all) for (const receive of subscribers) receive(null);
  if (!events.length) return;
  const parsed = events.map(({ kind, event }) => ({ kind, id: event.lastEventId, data: JSON.parse(event.data) }));
  for (const receive of subscribers) receive(parsed);
}

// Without a stream, everything is read again and again.
setInterval(() => {
  if (connection.value.state !== "live" && !document.hidden) gather(null);
}, POLL_MS);

// A request without a reply means that the stream is dead too, even if the browser has not noticed.
onReply((status) => {
  const { state } = connection.value;
  if (status === 0 && state === "live") {
    become({ ...connection.value, state: "lost" });
    retryLater();
  } else if (status && state === "lost") {
    connection.value = { ...connection.value, state: "polling", reason: undefined, at: serverTime() };
  } else if (status && state === "polling") {
    connection.value = { ...connection.value, at: serverTime() };
  }
});

onLeaving(
  () => source?.close(),
  () => source && connect(),
);
