// What is known of a task: its attempts, its fields, params and result, and earlier tasks of its name.

import { hrefOf, setQuery } from "../app/router.js";
import { Button, Copy, Facts, Panel } from "../components/basics.js";
import { Json } from "../components/code.js";
import { bytes, count, span, words } from "../components/format.js";
import { html } from "../components/html.js";
import { isFailure, Status } from "../components/status.js";
import { Strip } from "../components/strip.js";
import { Ago, Clock, Since } from "../components/time.js";

/** The attempts, the latest first. */
export function Attempts({ record }) {
  const ended = record.attempts.map((each, index) => ({ ...each, number: index + 1 }));
  const running = record.state === "running" ? [{ started_at: record.started_at, number: ended.length + 1 }] : [];
  const attempts = [...ended, ...running].reverse();
  if (!attempts.length) return null;
  return html`<${Panel} title="Attempts" note=${`${attempts.length} of at most ${record.retries + 1}`} flush>
    <table class="table">
      <thead><tr>
        <th scope="col" class="table__status">Outcome</th><th scope="col" class="table__short">Attempt</th><th scope="col" class="table__note--only">Error</th>
        <th scope="col" class="table__number table__medium">Started</th><th scope="col" class="table__number">Took</th>
        <th scope="col" class="table__actions"><span class="visually-hidden">Actions</span></th>
      </tr></thead>
      <tbody>${attempts.map((attempt) => html`<${AttemptRow} key=${attempt.number} attempt=${attempt} />`)}</tbody>
    </table>
  <//>`;
}

function AttemptRow({ attempt: { number, outcome, error, started_at: from, ended_at: to } }) {
  const status = outcome?.replaceAll("_", "-") ?? "running";
  const failed = isFailure(status);
  const tone = failed ? " table__note--failure" : status === "timed-out" ? " table__note--late" : "";
  return html`<tr>
    <td class="table__status"><${Status} status=${status} /></td>
    <td class="table__short">${number}</td>
    <td class=${`table__note table__note--only${tone}`} data-role=${failed ? "failure" : undefined} title=${error}>${error}</td>
    <td class="table__number table__medium"><${Clock} at=${from} /></td>
    <td class="table__number">${to ? span(Date.parse(to) - Date.parse(from)) : html`<${Since} at=${from} />`}</td>
    <td class="table__actions"><div class="table__buttons"><${Button} kind="quiet" small aria-label=${`Log of attempt ${number}`} onClick=${() => setQuery({ attempt: String(number) })}>Log<//></div></td>
  </tr>`;
}

/** The fields of a task. */
export function Details({ record }) {
  const { due_at: due, follows, retries, timeout, crashes, keep, traceparent, retry_of: retryOf, output } = record;
  const waited = record.attempts[0] ?? record;
  const link = (id) => html`<a class="text-mono" href=${hrefOf("tasks", id)}>${id}</a>`;
  const facts = [
    ["Submitted", html`<${Ago} at=${record.submitted_at} />`],
    ["Due", due && html`<${Ago} at=${due} />`],
    ["Follows", follows && link(follows)],
    ["Waited", waited.started_at && span(Date.parse(waited.started_at) - Date.parse(record.submitted_at))],
    ["Started", record.started_at && html`<${Ago} at=${record.started_at} />`],
    ["Finished", record.finished_at && html`<${Ago} at=${record.finished_at} />`],
    ["Duration", record.handler === "sleep" && span(record.duration)],
    ["Priority", String(record.priority)],
    ["Timeout", timeout === null ? "none" : `${span(timeout)} an attempt`],
    ["Retries", retries ? `${retries}, the first after at most ${span(record.retry_delay)}` : "none"],
    ["On conflict", record.on_conflict],
    ["On crash", record.on_crash],
    ["Crashes", crashes],
    ["Record kept", keep !== null && `${span(keep)} after the end`],
    ["Repeats", retryOf && link(retryOf)],
    ["Trace", traceparent && html`<span class="text-mono">${traceparent.split("-")[1]}</span>`],
    ["Exit code", output?.exit_code],
    ["HTTP status", output?.status],
  ];
  return html`<${Panel} title="Details"><${Facts} facts=${facts} /><//>`;
}

/** The params of a task. */
export function Params({ record }) {
  if (!Object.keys(record.params).length) return null;
  const copy = html`<${Copy} text=${JSON.stringify(record.params)} label="Copy the params" />`;
  return html`<${Panel} title="Params" action=${copy} flush><${Json} value=${record.params} label="Params" /><//>`;
}

/** What the last attempt returned. */
export function Result({ record }) {
  if (record.result === undefined) return null;
  const text = JSON.stringify(record.result);
  const copy = html`<${Copy} text=${text} label="Copy the result" />`;
  return html`<${Panel} title="Result" note=${bytes(text.length)} action=${copy} flush><${Json} value=${record.result} label="Result" /><//>`;
}

/** The finished tasks of the same name, as a strip of outcomes. */
export function Earlier({ name, records }) {
  const outcomes = records.map(({ outcome }) => outcome.replaceAll("_", "-")).reverse();
  const succeeded = outcomes.filter((each) => each === "succeeded").length;
  const all = html`<a href=${hrefOf("tasks", null, { name })}>All ${count(records.length)}</a>`;
  return html`<${Panel} title="Of this name" action=${all}>
    <${Strip} outcomes=${outcomes} kind="full" />
    <span class="text-muted">${succeeded} of the last ${count(records.length)} ${words("succeeded")}</span>
  <//>`;
}
