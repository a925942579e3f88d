// What this page knows of tasks. Read from the listings once, kept by the events; the one owner of records.

import { pages } from "./api.js";

const WAITING_MAX = 50_000;
const FINISHED_MAX = 10_000;
const DURATIONS_KEPT = 15;
const DURATION_KEYS_MAX = 5000;

const RANK = { pending: 0, scheduled: 1 };

/** The start order: pending before scheduled, the higher priority first, first come first. */
function compare(a, b) {
  return RANK[a.state] - RANK[b.state] || b.priority - a.priority || acceptance(a) - acceptance(b);
}

const acceptance = (record) => (record.acceptance ??= Number(record.id.slice(record.id.indexOf("-") + 1)));

export class Tasks {
  waiting = []; // in start order
  running = new Map(); // by id, in the order of their starts
  finished = []; // the latest first
  complete = true; // whether `waiting` holds all there are
  #waitingById = new Map();
  #finishedIds = new Set();
  #durations = new Map(); // how long the last runs took, by handler and by handler and name
  #loading = 0; // counts the readings; only the last one matters
  #isReading = false;
  #touched = new Set(); // ids that events told of while the listings were read: there the events are right

  /** Read everything anew; `changed` is called as parts of it are there. */
  async load(changed) {
    const loading = ++this.#loading;
    this.#isReading = true;
    const stale = () => loading !== this.#loading;
    this.#touched.clear();
    const running = [];
    for await (const page of pages("tasks?state=running")) running.push(...page);
    const { value: finished } = await pages("tasks?state=finished").next();
    if (stale()) return;
    this.#replaceRunning(running);
    this.#replaceFinished(finished);
    changed();
    const waiting = [];
    let complete = true;
    for (const state of ["pending", "scheduled"]) {
      for await (const page of pages(`tasks?state=${state}`)) {
        if (stale()) return;
        waiting.push(...page);
        if (waiting.length === page.length) this.#replaceWaiting(waiting, false);
        changed();
        complete = waiting.length < WAITING_MAX;
        if (!complete) break;
      }
      if (!complete) break;
    }
    this.#isReading = false;
    this.#replaceWaiting(waiting, complete);
    changed();
  }

  /** Read the next page of finished tasks. */
  async loadOlder() {
    if (this.finished.length >= FINISHED_MAX || !this.finished.length) return false;
    let skip = this.finished.length;
    for await (const page of pages("tasks?state=finished")) {
      const older = page.filter((record) => !this.#finishedIds.has(record.id));
      for (const record of older) this.#finishedIds.add(record.id);
      this.finished.push(...older);
      skip -= page.length;
      if (older.length && skip <= 0) return true;
    }
    return false;
  }

  /** Take in the record of an event. */
  apply(record) {
    this.#touched.add(record.id);
    this.#forget(record.id);
    if (record.state === "running") this.running.set(record.id, record);
    else if (record.state === "finished") this.#addFinished(record);
    else this.#addWaiting(record);
  }

  /** Take in how far a running task is. */
  progress({ id, progress }) {
    const record = this.running.get(id);
    if (record) record.progress = progress;
  }

  /** What is known of a task that is in flight. */
  inFlight = (id) => this.#waitingById.get(id) ?? this.running.get(id);

  /** How long a task like this takes, in ms, or undefined. */
  usualMs(record) {
    if (record.handler === "sleep") return record.duration;
    const known = this.#durations.get(`${record.handler} ${record.name}`) ?? this.#durations.get(record.handler);
    return known && [...known].sort((a, b) => a - b)[known.length >> 1];
  }

  #replaceRunning(records) {
    for (const id of this.running.keys()) if (!this.#touched.has(id)) this.running.delete(id);
    for (const record of records) if (!this.#touched.has(record.id)) this.running.set(record.id, record);
  }

  #replaceFinished(records) {
    const told = this.finished.filter((record) => this.#touched.has(record.id));
    this.finished = [...told, ...records.filter((record) => !this.#touched.has(record.id))];
    this.#finishedIds = new Set(this.finished.map((record) => record.id));
    for (const record of [...records].reverse()) this.#noteDuration(record);
  }

  #replaceWaiting(records, complete) {
    const told = this.waiting.filter((record) => this.#touched.has(record.id));
    this.waiting = [...records.filter((record) => !this.#touched.has(record.id)), ...told].sort(compare);
    this.#waitingById = new Map(this.waiting.map((record) => [record.id, record]));
    this.complete = complete;
  }

  #forget(id) {
    this.running.delete(id);
    const waits = this.#waitingById.get(id);
    if (!waits) return;
    this.#waitingById.delete(id);
    this.waiting.splice(this.#place(waits), 1);
  }

  #addWaiting(record) {
    const place = this.#place(record);
    if (!this.complete && !this.#isReading && place === this.waiting.length) return; // it belongs to the part that was not read
    this.waiting.splice(place, 0, record);
    this.#waitingById.set(record.id, record);
  }

  #addFinished(record) {
    if (this.#finishedIds.has(record.id)) return;
    this.#finishedIds.add(record.id);
    this.finished.unshift(record);
    if (this.finished.length > FINISHED_MAX) this.#finishedIds.delete(this.finished.pop().id);
    this.#noteDuration(record);
  }

  #noteDuration(record) {
    if (record.outcome !== "succeeded") return;
    const ms = Date.parse(record.finished_at) - Date.parse(record.started_at);
    for (const key of [record.handler, `${record.handler} ${record.name}`]) {
      const known = this.#durations.get(key) ?? [];
      this.#durations.delete(key);
      this.#durations.set(key, [...known, ms].slice(-DURATIONS_KEPT));
    }
    if (this.#durations.size > DURATION_KEYS_MAX) this.#durations.delete(this.#durations.keys().next().value);
  }

  /** Where a record is, or belongs, among those that wait. */
  #place(record) {
    let low = 0;
    let high = this.waiting.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.waiting[middle], record) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
