// What an event says: its status, what it is about, and what happened, in one line.

import { hrefOf } from "../app/router.js";
import { count, relative, span } from "../components/format.js";
import { statusOf } from "../components/status.js";
import { reasonInWords } from "./schedule_occurrences.js";

/** The kinds of events that can be chosen: the value in the address, and words. */
export const KINDS = [
  ["task", "tasks"],
  ["progress", "progress"],
  ["skipped", "skipped occurrences"],
  ["pauses", "pauses"],
];

/** Whether an event is of a kind that was chosen. Without a choice, all but progress are shown. */
export function isOfKind(kind, chosen) {
  if (!chosen) return kind !== "progress";
  return chosen === "pauses" ? kind === "paused" || kind === "resumed" : kind === chosen;
}

const OTHERS = {
  skipped: { word: "skipped", icon: "skip", tone: "skipped" },
  resumed: { word: "resumed", icon: "resume", tone: "paused" },
  drain: { word: "draining", icon: "drain", tone: "paused" },
};

/** The status of an event: a word of `components/status.js`, or another `word` with its `icon` and `tone`. */
export function statusOfEvent({ kind, data }) {
  if (kind === "task") return { status: statusOf(data) };
  if (kind === "progress") return { status: "running" };
  if (kind === "paused") return { status: "paused" };
  return OTHERS[kind];
}

/** What an event is about: a `name`, and the `href` of its page if it has one. */
export function subjectOf({ kind, data }) {
  if (kind === "task" || kind === "progress") return { name: data.name, href: hrefOf("tasks", data.id) };
  if (kind === "skipped") return { name: data.schedule, href: hrefOf("schedules", data.schedule) };
  if (data.handler) return { name: data.handler, href: hrefOf("handlers", data.handler) };
  return { name: kind === "drain" ? "the server" : "everything" };
}

const since = (from, to) => span(Date.parse(to) - Date.parse(from));

/** What happened, in one line. */
export function eventInWords({ kind, data, at }) {
  if (kind === "progress") return progressInWords(data.progress);
  if (kind === "skipped") return `${reasonInWords(data.reason)}${data.holder_id ? ` by ${data.holder_id}` : ""}`;
  if (kind === "paused" || kind === "resumed") return `${data.what === "everything" ? "all handlers" : "handler"} ${kind} by ${data.by}`;
  if (kind === "drain") return "the stop has begun";
  return TASK[data.state](data, at);
}

const progressInWords = ({ done, total }) => (total ? `${count(done)} of ${count(total)}` : count(done));

const TASK = {
  scheduled: (data, at) => {
    if (data.follows) return `follows ${data.follows}`;
    const due = data.due_at && `due ${relative(Date.parse(data.due_at), at)}`;
    return data.started_at ? `is tried again, ${due}` : due;
  },
  pending: ({ blocked_by: [reason] = [], priority }) => reason ?? (priority ? `is due, priority ${priority}` : "is due"),
  running: ({ submitted_at: from, started_at: to, progress }) => (progress ? progressInWords(progress) : `started ${since(from, to)} after it was submitted`),
  finished: ({ outcome, error, started_at: from, finished_at: to }) => {
    const after = from ? `after ${since(from, to)}` : "while it waited";
    return error && outcome !== "cancelled" ? `${error}, ${after}` : after;
  },
};

