// What the form of a new task holds, and the task that it stands for.

import { inMs, inUnits } from "./fields.js";
import { FieldFault, kindOf, propertiesOf, resolve, shownOf, valueOf } from "./schema.js";

const EMPTY_DURATION = { number: "", unit: "s" };

export const CONFLICTS = [
  ["reject", "refuse this task"],
  ["join", "join the task that holds it"],
  ["latest", "replace the content of the waiting task"],
  ["supersede", "cancel the task that holds it"],
];

export const CRASHES = [["rerun", "run it again"], ["fail", "give it up as abandoned"]];

/** The durations among the options: field, label and hint. */
export const DURATIONS = [
  ["timeout", "Timeout", "of an attempt"],
  ["retry_delay", "Delay of the first retry", "at most; doubled for each further one"],
  ["keep", "Keep the record", "after the end"],
];

const DURATION_FIELDS = ["timeout", "retry_delay", "retry_delay_max", "keep"];
const CHOICE_FIELDS = ["on_conflict", "on_crash"];
const NUMBER_FIELDS = { priority: { type: "integer", minimum: -100, maximum: 100 }, retries: { type: "integer", minimum: 0, maximum: 100 } };

/** The form of an empty task, or of one that was submitted before. */
export function formOf(handler, task = {}) {
  const { params } = handler;
  const values = { name: task.name ?? "", duration: inUnits(task.duration ?? 1000), params: shownOf(asGroup(params), params, task.params ?? {}) };
  for (const field of DURATION_FIELDS) values[field] = task[field] === undefined ? EMPTY_DURATION : inUnits(task[field]);
  for (const field of [...CHOICE_FIELDS, ...Object.keys(NUMBER_FIELDS)]) values[field] = task[field] === undefined ? "" : String(task[field]);
  return { ...values, tags: task.tags?.join(", ") ?? "", start: "now", delay: { number: "10", unit: "min" }, runAt: "" };
}

const asGroup = (schema) => ({ type: "object", properties: {}, ...resolve(schema, schema) });

/** The form after another handler was chosen: it keeps what both have. */
export function withHandler(form, handler) {
  const fresh = formOf(handler);
  const kept = Object.entries(form.params ?? {}).filter(([name]) => name in (fresh.params ?? {}));
  return { ...form, params: { ...fresh.params, ...Object.fromEntries(kept) } };
}

/**
 * The task that a form stands for: `task`, and `faults` by the path of the field.
 */
export function taskOfForm(handler, form) {
  const faults = {};
  const read = (path, reading) => {
    try {
      return reading();
    } catch (error) {
      if (!(error instanceof FieldFault)) throw error;
      faults[path] = error.message;
    }
  };
  const task = { name: form.name, handler: handler.name };
  if (!form.name.trim()) faults.name = "Write a name.";
  if (handler.name === "sleep") task.duration = read("duration", () => readDuration(form.duration) ?? 0);
  task.params = readParams(handler.params, handler.params, form.params, "params", read);
  for (const field of DURATION_FIELDS) task[field] = read(field, () => readDuration(form[field]));
  for (const [field, schema] of Object.entries(NUMBER_FIELDS)) task[field] = read(field, () => valueOf(schema, schema, form[field]));
  for (const field of CHOICE_FIELDS) task[field] = form[field] || undefined;
  const tags = form.tags.split(",").map((tag) => tag.trim()).filter(Boolean);
  if (tags.length) task.tags = tags;
  if (form.start === "delay") task.delay = read("delay", () => readDuration(form.delay));
  if (form.start === "at") task.run_at = read("runAt", () => readTime(form.runAt));
  return { task: JSON.parse(JSON.stringify(task)), faults };
}

function readParams(schema, root, values, path, read) {
  const params = {};
  for (const { name, schema: each, isRequired } of propertiesOf(schema, root)) {
    const place = `${path}.${name}`;
    const value = kindOf(each, root) === "group"
      ? readGroup(each, root, values[name], place, read, isRequired)
      : read(place, () => required(valueOf(each, root, values[name]), isRequired));
    if (value !== undefined) params[name] = value;
  }
  return params;
}

function readGroup(schema, root, values, path, read, isRequired) {
  const group = readParams(schema, root, values, path, read);
  return isRequired || Object.keys(group).length ? group : undefined;
}

function required(value, isRequired) {
  if (value === undefined && isRequired) throw new FieldFault("This is required.");
  return value;
}

function readDuration(duration) {
  const ms = inMs(duration);
  if (Number.isNaN(ms)) throw new FieldFault("Write a number.");
  if (ms < 0) throw new FieldFault("Write 0 or more.");
  return ms;
}

function readTime(text) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw new FieldFault("Choose a day and a time.");
  return time.toISOString();
}
