// What came of the tasks of occurrences. A status is read once, when its row is seen, and then kept up to date by events.

import { subscribe } from "../api/live.js";
import { showTask } from "../api/tasks.js";
import { signal } from "../components/html.js";
import { statusOf } from "../components/status.js";

const AT_ONCE = 4;
const KEPT_MAX = 5000;
const FLUSH_MS = 50;

/** The statuses by the id of the task: a word of `components/status.js`, or `gone` if the record is no longer kept. */
export const statuses = signal(new Map());

const asked = new Set(); // ids that are read, being read, or to be read
let waiting = [];
let found = [];
let busy = 0;
let flushTimer;
let isFollowing = false;

/** Read the statuses of tasks, except those that are known. */
export function askForStatuses(ids) {
  if (!isFollowing) subscribe(receive);
  isFollowing = true;
  const fresh = ids.filter((id) => !asked.has(id));
  fresh.forEach((id) => asked.add(id));
  waiting.push(...fresh);
  readOn();
}

function readOn() {
  while (busy < AT_ONCE && waiting.length) {
    busy += 1;
    read(waiting.shift()).finally(() => {
      busy -= 1;
      readOn();
    });
  }
}

async function read(id) {
  try {
    note(id, statusOf(await showTask(id)));
  } catch (error) {
    if (error.status === 404 || error.status === 410) note(id, "gone");
    else asked.delete(id); // asked for again when its row is drawn anew
  }
}

function receive(events) {
  if (events === null) {
    const open = [...statuses.peek()].filter(([, status]) => ["pending", "scheduled", "running", "blocked", "paused"].includes(status));
    open.forEach(([id]) => asked.delete(id));
    return askForStatuses(open.map(([id]) => id));
  }
  for (const { kind, data } of events) if (kind === "task" && asked.has(data.id)) note(data.id, statusOf(data));
}

function note(id, status) {
  found.push([id, status]);
  flushTimer ??= setTimeout(flush, FLUSH_MS);
}

function flush() {
  flushTimer = undefined;
  const all = new Map([...statuses.peek(), ...found]);
  found = [];
  for (const id of all.keys()) {
    if (all.size <= KEPT_MAX) break;
    all.delete(id);
    asked.delete(id);
  }
  statuses.value = all;
}
