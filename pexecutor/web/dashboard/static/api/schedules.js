// Schedules, as the HTTP API has them.

import { get, queryOf, request } from "./client.js";

const path = (name) => `schedules/${encodeURIComponent(name)}`;

/** The first schedules by name: `data`, and `next`, which is null if these are all. */
export const listSchedules = (limit) => request("GET", `schedules${queryOf({ limit })}`);

/** One schedule. */
export const showSchedule = (name) => get(path(name));

/** Submit the task of a schedule now; returns its record. */
export const runSchedule = async (name) => (await request("POST", `${path(name)}/run`)).data;

/** Pause or resume a schedule. */
export const pauseSchedule = (name, paused) => request("PATCH", path(name), { body: { paused } });

/** Remove a schedule; its tasks stay. */
export const removeSchedule = (name) => request("DELETE", path(name));
