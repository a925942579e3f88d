// The filters of the list of tasks: what the address says, what the API gets, and which records meet them.

import { words } from "../components/format.js";
import { route, setQuery } from "../app/router.js";

/** The criteria of the API, in the order in which they are shown. */
export const CRITERIA = ["state", "outcome", "handler", "tag", "name", "name_prefix", "error", "since", "until", "finished_since"];

export const STATES = ["running", "pending", "scheduled", "finished"];
export const OUTCOMES = ["succeeded", "failed", "timed_out", "cancelled", "abandoned"];

/** The filters in an address: values by criterion; `tag` is a list. */
export function filtersOf(query) {
  const found = CRITERIA.map((name) => [name, name === "tag" ? query.getAll(name) : query.get(name)]);
  return Object.fromEntries(found.filter(([, value]) => value?.length));
}

/** Change filters: a null removes one. */
export const setFilters = (changes, options) => setQuery(changes, options);

/** Remove all filters but the state. */
export function clearFilters() {
  const names = [...route.value.query.keys()].filter((name) => name !== "state");
  setQuery(Object.fromEntries(names.map((name) => [name, null])));
}

/** The states to list, in the order of the list. */
export function statesOf(filters) {
  if (filters.state) return [filters.state];
  return filters.outcome || filters.error || filters.finished_since ? ["finished"] : STATES;
}

/** Whether a record meets the filters. */
export function meets(record, filters) {
  const { state, outcome, handler, tag = [], name, name_prefix: prefix, error, since, until, finished_since: finished } = filters;
  return (
    (!state || record.state === state) &&
    (!outcome || record.outcome === outcome) &&
    (!handler || record.handler === handler) &&
    tag.every((each) => record.tags?.includes(each)) &&
    (!name || record.name === name) &&
    (!prefix || record.name.startsWith(prefix)) &&
    (!error || record.error?.includes(error)) &&
    (!since || Date.parse(record.submitted_at) >= Date.parse(since)) &&
    (!until || Date.parse(record.submitted_at) < Date.parse(until)) &&
    (!finished || Date.parse(record.finished_at) >= Date.parse(finished))
  );
}

const LABELS = {
  state: "State", outcome: "Outcome", handler: "Handler", tag: "Tag", name: "Name is", name_prefix: "Name begins with",
  error: "Error contains", since: "Submitted since", until: "Submitted before", finished_since: "Finished since",
};

const dates = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** The filters that are shown as chips: `name`, `label`, `text` and what removes each. */
export function chipsOf(filters) {
  const shown = CRITERIA.filter((name) => filters[name] && name !== "state" && name !== "name_prefix");
  return shown.flatMap((name) => [filters[name]].flat().map((value) => ({ name, label: LABELS[name], text: textOf(name, value), value })));
}

function textOf(name, value) {
  if (["since", "until", "finished_since"].includes(name)) return dates.format(new Date(value));
  return name === "outcome" ? words(value) : value;
}

/** Remove the filter of a chip. */
export function removeChip({ name, value }) {
  if (name !== "tag") return setFilters({ [name]: null });
  const left = route.value.query.getAll("tag").filter((each) => each !== value);
  setFilters({ tag: left.length ? left : null });
}

const VIEWS = "pexecutor-views";

/** The views that the reader has saved: a name and a query string each. */
export function savedViews() {
  try {
    return JSON.parse(localStorage.getItem(VIEWS)) ?? [];
  } catch {
    return [];
  }
}

/** Save the views. */
export function saveViews(views) {
  try {
    localStorage.setItem(VIEWS, JSON.stringify(views));
  } catch {
    // Storage is off: views are not kept.
  }
}
