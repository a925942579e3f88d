// What the server reports about itself: its statistics, handlers and nodes; read again and again while pages need them.

import { signal } from "../vendor/signals.js";
import { ApiError, get } from "./client.js";

const PERIOD_MS = 2000;

/** The last statistics, or null before the first reply. */
export const statistics = signal(null);

/** Why the server takes no tasks: null, or an object with `kind` (`draining`, `trouble`) and `detail`. */
export const unready = signal(null);

/** The handlers of the server, or null before the first reply. */
export const handlers = signal(null);

/** Read the statistics now. */
export async function readStatistics() {
  const situation = await get("readyz").catch((error) => {
    if (error instanceof ApiError && error.status === 503) return error.problem;
    throw error;
  });
  const { statistics: found, detail } = situation;
  if (!found) return;
  statistics.value = found;
  const present = found.store.limits.pauses;
  if (JSON.stringify(present) !== JSON.stringify(pauses.peek())) pauses.value = present;
  const kind = found.phase === "serving" ? "trouble" : "draining";
  unready.value = detail ? { kind, detail } : null;
}

/** Read the handlers, unless they are known. */
export async function readHandlers({ anew = false } = {}) {
  if (anew || handlers.value === null) handlers.value = await get("handlers");
  return handlers.value;
}

/** The pauses of everything and of handlers; it changes only with them, not with each reading of the statistics. */
export const pauses = signal([]);

/** Read the statistics every two seconds while the page is visible. */
export function watchServer() {
  const read = () => !document.hidden && readStatistics().catch(() => {});
  read();
  setInterval(read, PERIOD_MS);
  document.addEventListener("visibilitychange", read);
}
