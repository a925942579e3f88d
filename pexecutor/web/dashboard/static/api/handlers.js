// Handlers, their limits and pauses, as the HTTP API has them.

import { get, request } from "./client.js";
import { handlers } from "./server.js";
import { explainTask, listTasks } from "./tasks.js";

const RUNNING_MAX = 1000;
const PENDING_MAX = 500;
const EXPLAINED_MAX = 8; // so many keys of limits are looked up

const path = (name) => (name === null ? "" : `handlers/${encodeURIComponent(name)}/`);

/** Pause a handler, or everything if `name` is null. */
export const pauseHandler = (name) => request("POST", `${path(name)}pause`);

/** End the pause of a handler, or that of everything if `name` is null. */
export const resumeHandler = (name) => request("POST", `${path(name)}resume`);

/**
 * The handlers with what runs of them: `handlers`, `running` (records by handler) and `full`, the limits' keys without
 * a free slot, each with `which`, `key`, `concurrency`, `ids` of holders and `blocked`, a number of tasks.
 */
export async function readHandlersAndLimits() {
  const [found, running, pending] = await Promise.all([
    get("handlers"), get(`tasks/running?limit=${RUNNING_MAX}`), get(`tasks/pending?limit=${PENDING_MAX}`),
  ]);
  handlers.value = found;
  return { handlers: found, running: Map.groupBy(running, ({ handler }) => handler), full: await fullKeys(pending), isAll: pending.length < PENDING_MAX };
}

/** The keys for which tasks wait, as far as the first pending tasks tell: one task of each reason is asked why. */
async function fullKeys(pending) {
  const groups = new Map();
  for (const { id, blocked_by: reasons = [] } of pending) {
    for (const reason of reasons) groups.set(reason, { id, blocked: (groups.get(reason)?.blocked ?? 0) + 1 });
  }
  const limited = [...groups].filter(([reason]) => reason.startsWith("the limit ")).slice(0, EXPLAINED_MAX);
  const explained = await Promise.all(limited.map(([, { id }]) => explainTask(id).catch(() => [])));
  return limited.flatMap(([detail, { blocked }], at) =>
    explained[at].filter((reason) => reason.detail === detail).map((reason) => ({ ...reason, blocked })));
}

/** The last tasks of a handler with an outcome, or with any. */
export const lastTasks = (handler, outcome, limit) => listTasks({ handler, outcome, state: "finished" }, { limit });
