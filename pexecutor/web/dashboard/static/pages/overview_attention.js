// What needs somebody, most urgent first: one line each, with what to do about it.

import { now, serverTime } from "../api/clock.js";
import { get, request } from "../api/client.js";
import { handlers, pauses, readHandlers, unready } from "../api/server.js";
import { may } from "../api/session.js";
import { listTasks } from "../api/tasks.js";
import { useData } from "../app/data.js";
import { hrefOf } from "../app/router.js";
import { attempt } from "../app/toasts.js";
import { Button, ButtonLink, Skeleton } from "../components/basics.js";
import { count, countOf, isolated, roughSpan, span, words } from "../components/format.js";
import { html, useEffect } from "../components/html.js";
import { Status } from "../components/status.js";
import { Ago } from "../components/time.js";
import { NoTasks } from "./nothing_yet.js";
import { isLate, usualOf } from "./task_progress.js";

const DAY_MS = 86_400_000;
const COUNTED_MAX = 100;
const READ_EVERY_MS = 10_000;

const since = () => new Date(serverTime() - DAY_MS).toISOString();
const ended = (outcome) => listTasks({ outcome, finished_since: since() }, { limit: COUNTED_MAX }).then(({ data, next }) => ({ data, more: next !== null }));
const isBad = ({ kind, data }) => kind === "paused" || kind === "resumed" || ["failed", "timed_out", "abandoned"].includes(data.outcome);

async function readAttention() {
  const [failed, abandoned, timedOut, running, pending, nodes, schedules] = await Promise.all([
    ended("failed"), ended("abandoned"), ended("timed_out"),
    get("tasks/running?limit=100"), get("tasks/pending?limit=200"), get("nodes"), get("schedules?limit=200"),
  ]);
  return { failed, abandoned, timedOut, running, pending, nodes, schedules };
}

/** The panel. On a server that has had no task, it says how to make the first one. */
export function Attention({ isEmpty }) {
  const { data, problem } = useData(readAttention, [], { when: isBad, pauseMs: 3000, everyMs: READ_EVERY_MS });
  useEffect(() => void readHandlers({ anew: true }).catch(() => {}), []);
  if (isEmpty && data && itemsOf(data).length === 0) return html`<section class="panel" aria-label="First task"><${NoTasks} /></section>`;
  const items = data ? itemsOf(data) : [];
  return html`<section class="panel" aria-labelledby="attention">
    <div class="panel__head"><h2 id="attention">Needs attention</h2>
      ${data && html`<span class="panel__note">${items.length ? `${items.length} in the last 24 h` : "nothing in the last 24 h"}</span>`}</div>
    ${!data && (problem ? html`<p class="panel__body text-muted">${problem.message}</p>` : html`<${Skeleton} rows=${2} />`)}
    ${items.length > 0 && html`<ul class="attention">${items.map((item) => html`<${Item} key=${item.key} ...${item} />`)}</ul>`}
    ${data && !items.length && html`<div class="attention attention--none"><${Status} status="succeeded" wordless />
      <span class="text-muted">Nothing failed, nothing is late, blocked or paused.</span></div>`}
  </section>`;
}

function Item({ status, what, detail, when, action }) {
  return html`<li class="attention__item">
    <${Status} status=${status} wordless />
    <div class="attention__text"><span class="attention__what" title=${what}>${what}</span>
      <span class="attention__detail" title=${detail}>${detail}</span></div>
    <span class="attention__when">${when && html`<${Ago} at=${when} />`}</span>
    <span class="attention__action">${action}</span>
  </li>`;
}

const show = (href, text = "Show") => html`<${ButtonLink} href=${href}>${text}<//>`;

function itemsOf(data) {
  const { failed, abandoned, timedOut, running, pending, nodes, schedules } = data;
  return [
    ...troubleOf(),
    ...endedOf("failed", failed, "failed"),
    ...endedOf("abandoned", abandoned, "was abandoned", "were abandoned"),
    ...endedOf("timed_out", timedOut, "timed out"),
    ...running.flatMap(lateOf),
    ...nodes.flatMap(nodeOf),
    ...blockedOf(pending),
    ...pauses.value.map(pauseOf),
    ...schedules.flatMap(scheduleOf),
  ];
}

function troubleOf() {
  const { kind, detail } = unready.value ?? {};
  return kind === "trouble" ? [{ key: "store", status: "failed", what: "The store cannot be written", detail }] : [];
}

function endedOf(outcome, { data, more }, one, several = one) {
  if (!data.length) return [];
  const [first] = data;
  const number = more ? `${COUNTED_MAX}+` : count(data.length);
  const what = data.length === 1 ? `1 task ${one}` : `${number} tasks ${several}`;
  const rest = data.length > 1 ? ` · and ${more ? "more" : `${count(data.length - 1)} more`}` : "";
  const href = data.length === 1 ? hrefOf("tasks", first.id) : hrefOf("tasks", null, { state: "finished", outcome });
  const detail = `${isolated(first.name)}: ${first.error ?? words(outcome)}${rest}`;
  return [{ key: outcome, status: outcome.replaceAll("_", "-"), what, detail, when: first.finished_at, action: show(href) }];
}

/** A task that runs for much longer than tasks of its handler do. */
function lateOf(record) {
  const { id, name, handler, started_at: from } = record;
  const usual = usualOf(record, handlers.value);
  if (record.progress || !isLate(record, usual, now.peek())) return [];
  const detail = `95 % of the tasks of ${handler} take less than ${span(usual.most)}`;
  return [{ key: id, status: "late", what: `${isolated(name)} has run for ${roughSpan(now.peek() - Date.parse(from))}`, detail, when: from, action: show(hrefOf("tasks", id)) }];
}

function nodeOf({ name, beat_at: beat, lease_until: lease, draining }) {
  const rest = Date.parse(lease) - now.peek();
  const isSilent = now.peek() - Date.parse(beat) > (Date.parse(lease) - Date.parse(beat)) / 2;
  const action = show(hrefOf("nodes"));
  if (isSilent) {
    const detail = rest > 0 ? `its tasks are given back in ${roughSpan(rest)}` : "its tasks are given back";
    return [{ key: name, status: "late", what: `Node ${name} is silent`, detail, when: beat, action }];
  }
  return draining ? [{ key: name, status: "paused", what: `Node ${name} is draining`, detail: "it starts no more tasks", when: null, action }] : [];
}

/** The reasons for which pending tasks are blocked, with the number of tasks, as far as the first page goes. */
function blockedOf(pending) {
  const reasons = new Map();
  for (const { blocked_by: [reason] = [], submitted_at: from } of pending) {
    if (!reason || / paused /.test(reason)) continue; // a pause has a line of its own
    const known = reasons.get(reason) ?? { number: 0, from };
    reasons.set(reason, { number: known.number + 1, from: known.from < from ? known.from : from });
  }
  return [...reasons].map(([reason, { number, from }]) => ({
    key: reason, status: "blocked", what: `${countOf(number, "task is blocked", "tasks are blocked")}`, detail: reason, when: from,
    action: show(hrefOf("tasks", null, { state: "pending" })),
  }));
}

function pauseOf({ what, handler, since: from, by }) {
  const subject = what === "everything" ? "Everything" : `Handler ${handler}`;
  const path = what === "everything" ? "resume" : `handlers/${encodeURIComponent(handler)}/resume`;
  const resume = () => attempt(`resume ${subject}`, () => request("POST", path));
  const action = may("admin") ? html`<${Button} kind="quiet" small onClick=${resume}>Resume<//>` : show(hrefOf("tasks", null, { state: "pending" }));
  return { key: `pause ${path}`, status: "paused", what: `${subject} is paused`, detail: `by ${by}`, when: from, action };
}

const SKIPPED = { held: "its name was held", full: "the queue was full", late: "it was too late", no_such_handler: "no server had its handler" };

function scheduleOf({ name, paused, occurrences: [last] }) {
  const action = show(hrefOf("schedules", name));
  if (paused) return [{ key: `schedule ${name}`, status: "paused", what: `Schedule ${isolated(name)} is paused`, detail: "its times are skipped", action }];
  if (!last?.skipped || last.skipped === "paused") return [];
  const detail = `${SKIPPED[last.skipped] ?? words(last.skipped)}${last.count > 1 ? `, ${count(last.count)} times` : ""}`;
  return [{ key: `schedule ${name}`, status: "late", what: `Schedule ${isolated(name)} was skipped`, detail, when: last.last_at ?? last.at, action }];
}
