// The events that the page has seen, the latest first, in bounded memory.

import { subscribe } from "../api/live.js";
import { serverTime } from "../api/clock.js";
import { signal } from "../components/html.js";

/** So many events are kept. */
export const KEPT_MAX = 2000;

const RATE_MS = 5000;

/**
 * The events that meet filters, since the page was opened.
 *
 * Signals: `rows`, each with `kind`, `data`, `key` and `at` in ms since 1970, the latest first; `held`, how many events have come
 * while the list is held, or null if it is not; `perSecond`. Owned by this object: only `#receive` adds events.
 */
export class EventLog {
  rows = signal([]);
  held = signal(null);
  perSecond = signal(0);
  #meets;
  #waiting = []; // events that come while the list is held, the latest first
  #counts = []; // pairs of a time and a number of events
  #hasBegun = false;
  #number = 0;
  #end;
  #timer;

  /** @param meets whether an event is shown */
  constructor(meets) {
    this.#meets = meets;
    this.#end = subscribe((events) => this.#receive(events));
    this.#timer = setInterval(() => this.#measure(), 1000);
  }

  /** Show other events. Those that are shown already and still meet the filters stay. */
  filter(meets) {
    this.#meets = meets;
    this.rows.value = this.rows.value.filter((row) => row.kind === "gap" || meets(row));
    this.#waiting = this.#waiting.filter((row) => row.kind === "gap" || meets(row));
    if (this.held.value !== null) this.held.value = this.#waiting.length;
  }

  /** Show no further events until `release`. They are gathered meanwhile. */
  hold() {
    this.held.value ??= 0;
  }

  /** Show what has come meanwhile, and go on. */
  release() {
    this.rows.value = [...this.#waiting, ...this.rows.value].slice(0, KEPT_MAX);
    this.#waiting = [];
    this.held.value = null;
  }

  /** End following. */
  close() {
    this.#end();
    clearInterval(this.#timer);
  }

  #receive(events) {
    const rows = events === null ? this.#gap() : inOrder(events.filter(this.#meets).map((event) => this.#row(event)).reverse());
    this.#hasBegun = true;
    if (!rows.length) return;
    if (events !== null) this.#counts.push([Date.now(), rows.length]);
    const isHeld = this.held.value !== null;
    const all = [...rows.slice(0, KEPT_MAX), ...(isHeld ? this.#waiting : this.rows.value)].slice(0, KEPT_MAX);
    if (!isHeld) return void (this.rows.value = all);
    this.#waiting = all;
    this.held.value += rows.length;
  }

  /** A mark for events that were missed: after a lost connection, or if they came too fast. */
  #gap() {
    const [last] = this.held.value === null ? this.rows.value : this.#waiting;
    if (!this.#hasBegun || last?.kind === "gap") return [];
    return [this.#row({ kind: "gap", data: {} })];
  }

  #row({ kind, data }) {
    this.#number += 1;
    const at = timeOf(kind, data);
    return { kind, data, key: this.#number, at: at ?? serverTime(), isExact: at !== undefined };
  }

  #measure() {
    this.#counts = this.#counts.filter(([at]) => at > Date.now() - RATE_MS);
    this.perSecond.value = this.#counts.reduce((sum, [, number]) => sum + number, 0) / (RATE_MS / 1000);
  }
}

/** When an event happened, if its record says so. */
function timeOf(kind, { state, started_at: started, finished_at: finished, at, since }) {
  if (kind === "task" && state === "finished") return Date.parse(finished);
  if (kind === "task" && state === "running") return Date.parse(started);
  if (kind === "skipped") return Date.parse(at);
  return kind === "paused" ? Date.parse(since) : undefined;
}

/** Rows, the latest first, of which those that have only the time of their arrival are not later than what came after them. */
function inOrder(rows) {
  let limit = Infinity;
  for (const row of rows) {
    if (row.isExact) limit = row.at;
    else row.at = Math.min(row.at, limit);
  }
  return rows;
}
