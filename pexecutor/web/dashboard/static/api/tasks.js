// Tasks, as the HTTP API has them.

import { get, queryOf, request } from "./client.js";

const path = (id) => `tasks/${encodeURIComponent(id)}`;

/** A page of a listing: `data` and `next`, the cursor of the page after it or null. */
export const listTasks = (filters, { limit = 100, cursor, signal } = {}) =>
  request("GET", `tasks${queryOf({ ...filters, limit, cursor })}`, { signal });

/** One whole record. */
export const showTask = (id, options) => get(path(id), options);

/** The reasons for which a task waits. */
export const explainTask = (id, options) => get(`${path(id)}/why`, options);

/** Submit one task; returns its record. */
export const submitTask = async (task) => (await request("POST", "tasks", { body: task })).data;

/** Cancel a task. */
export const cancelTask = (id) => request("DELETE", path(id));

/** Change the priority or the time of a waiting task. */
export const changeTask = (id, changes) => request("PATCH", path(id), { body: changes });

/** Change many tasks, or count those that would be changed. */
export const changeTasks = async (body) => (await request("POST", "tasks/bulk", { body })).data;

/** Run a finished task again. */
export const retryTask = (id) => changeTasks({ action: "retry", ids: [id] });

/** The relative path of an attempt's log. */
export const logPath = (id, options = {}) => `${path(id)}/log${queryOf(options)}`;

const OWN_FIELDS = [
  "name", "handler", "params", "duration", "priority", "timeout", "retries", "retry_delay", "retry_delay_max",
  "on_conflict", "on_crash", "keep", "tags",
];

/** What to submit to run the task of a record again. */
export function taskOf(record) {
  const known = OWN_FIELDS.filter((field) => record[field] !== undefined && record[field] !== null);
  return Object.fromEntries(known.map((field) => [field, record[field]]));
}
