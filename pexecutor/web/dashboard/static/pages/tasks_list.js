// The rows of the list of tasks: read page by page, and changed in place by events.

import { subscribe } from "../api/live.js";
import { listTasks } from "../api/tasks.js";
import { signal } from "../components/html.js";
import { meets, statesOf } from "./tasks_filters.js";

const PAGE = 100;
const ROWS_MAX = 5000;
const EMPTY_PAGES_MAX = 20; // a page may be short or empty although more tasks match

/**
 * The list of the tasks that meet filters.
 *
 * Signals: `rows`; `state` (`reading`, `partial`, `complete`, `full`, `failed`); `problem`; `changes`, the number of
 * changes that the list does not show. Owned by this object: rows change in place, and only `refresh` moves them.
 */
export class TaskList {
  rows = signal([]);
  state = signal("reading");
  problem = signal(null);
  changes = signal(0);
  #filters;
  #places = new Map(); // the index of each row, by id
  #states;
  #cursor = null;
  #stop = new AbortController();
  #end;

  constructor(filters) {
    this.#filters = filters;
    this.#states = statesOf(filters);
    this.#end = subscribe((events) => this.#receive(events));
    this.more();
  }

  /** End reading and following. */
  close() {
    this.#stop.abort();
    this.#end();
  }

  /** Read the next page. */
  async more() {
    if (this.#isBusy || this.state.value === "complete" || this.state.value === "full") return;
    this.#isBusy = true;
    try {
      const found = await this.#nextPage();
      this.#append(found);
      this.problem.value = null;
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.problem.value = error;
      this.state.value = "failed";
    } finally {
      this.#isBusy = false;
    }
  }

  /** Read the list from its begin. The rows stay until the first page is there. */
  async refresh() {
    this.#states = statesOf(this.#filters);
    this.#cursor = null;
    this.changes.value = 0;
    this.#isFresh = true;
    this.state.value = "reading";
    await this.more();
  }

  #isBusy = false;
  #isFresh = true;

  async #nextPage() {
    const found = [];
    for (let empty = 0; found.length < PAGE && this.#states.length && empty < EMPTY_PAGES_MAX; empty++) {
      const filters = { ...this.#filters, state: this.#states[0] };
      const { data, next } = await listTasks(filters, { limit: PAGE, cursor: this.#cursor, signal: this.#stop.signal });
      found.push(...data);
      this.#cursor = next;
      if (next === null) this.#states = this.#states.slice(1);
    }
    return found;
  }

  #append(found) {
    const before = this.#isFresh ? [] : this.rows.value;
    this.#isFresh = false;
    const known = new Set(before.map(({ id }) => id));
    const rows = [...before, ...found.filter(({ id }) => !known.has(id))];
    this.#places = new Map(rows.map(({ id }, index) => [id, index]));
    this.rows.value = rows;
    this.state.value = !this.#states.length ? "complete" : rows.length >= ROWS_MAX ? "full" : "partial";
  }

  #receive(events) {
    if (events === null) return void (this.changes.value += 1);
    let rows = null;
    let changes = 0;
    for (const { kind, data } of events) {
      const place = this.#places.get(data.id);
      if (kind === "task" && place === undefined) changes += meets(data, this.#filters) ? 1 : 0;
      else if (kind === "task") (rows ??= [...this.rows.value])[place] = data;
      else if (kind === "progress" && place !== undefined) (rows ??= [...this.rows.value])[place] = { ...rows[place], progress: data.progress };
    }
    if (rows) this.rows.value = rows;
    if (changes) this.changes.value += changes;
  }
}
