// What the page can have done to a task. Each says how it went.

import { ApiError, ask, get, taskPath } from "./api.js";
import { toast } from "./dom.js";

const SUBMITTED_AGAIN = [
  "name", "handler", "params", "duration", "priority", "timeout", "retries", "retry_delay", "retry_delay_max",
  "on_conflict", "on_crash", "keep",
];

/** Do it, and tell when it did not work; whether it did. */
export async function attempt(what, action) {
  try {
    await action();
    return true;
  } catch (error) {
    toast(`${what}: ${error instanceof ApiError ? error.message : "the server does not answer"}`, "failed");
    return false;
  }
}

export const cancel = (record) =>
  attempt(`Could not cancel ${record.name}`, async () => {
    const { data } = await ask("DELETE", taskPath(record.id));
    toast(data.state === "finished" ? `Cancelled ${record.name}` : `Told ${record.name} to end`);
  });

export const setPriority = (record, priority) =>
  attempt(`Could not change the priority of ${record.name}`, async () => {
    await ask("PATCH", taskPath(record.id), { priority });
    toast(`${record.name} has priority ${priority}`);
  });

/** Submit the same as a new task. */
export const runAgain = (record) =>
  attempt(`Could not run ${record.name} again`, async () => {
    const known = await get(taskPath(record.id));
    const task = Object.fromEntries(SUBMITTED_AGAIN.filter((field) => known[field] != null).map((field) => [field, known[field]]));
    await ask("POST", "tasks", task);
    toast(`Submitted ${record.name} again`);
  });
