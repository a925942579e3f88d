// The page of one handler: its measures, what runs, its last failures and tasks, its limits and params.

import { lastTasks, readHandlersAndLimits } from "../api/handlers.js";
import { may } from "../api/session.js";
import { useData } from "../app/data.js";
import { Page } from "../app/frame.js";
import { hrefOf } from "../app/router.js";
import { Button, Empty, Facts, Name, Panel, Skeleton } from "../components/basics.js";
import { Json } from "../components/code.js";
import { count, span, words } from "../components/format.js";
import { html } from "../components/html.js";
import { isFailure, Status, statusOf } from "../components/status.js";
import { Strip } from "../components/strip.js";
import { Ago, Since } from "../components/time.js";
import { openNewTask } from "../forms/new_task.js";
import { ownPause, setPaused } from "./handler_actions.js";
import { Limits } from "./handler_limits.js";
import { runTime, successOf } from "./handler_measures.js";

const LAST = 40;
const SHOWN = 8;

export default function Handler({ item: name }) {
  const isOurs = ({ kind, data }) => kind === "paused" || kind === "resumed" || (kind === "task" && data.handler === name && data.state !== "pending");
  const { data, problem, again } = useData(() => readHandler(name), [name], { when: isOurs, pauseMs: 2000, everyMs: 8000 });
  const crumbs = [["Handlers", hrefOf("handlers")]];
  if (!data) return html`<${Page} title=${name} crumbs=${crumbs}><section class="panel">
    ${problem ? html`<${Empty} icon="warn" title="The handler could not be read"><p class="empty__text">${problem.message}</p><${Button} onClick=${again}>Try again<//><//>`
      : html`<${Skeleton} rows=${8} />`}</section><//>`;
  const { handler } = data;
  if (!handler) return html`<${Page} title=${name} crumbs=${crumbs}><section class="panel"><${Empty} icon="search" title="There is no such handler">
    <p class="empty__text">This server has no handler of this name. Tasks that name it wait for a server that has it.</p>
    <p><a href=${hrefOf("handlers")}>Show all handlers</a></p><//></section><//>`;
  return html`<${Page} title=${name} crumbs=${crumbs}>
    <${Head} data=${data} again=${again} />
    <div class="split">
      <div class="stack">
        <${Running} records=${data.running.get(name) ?? []} />
        <${Tasks} title="Last failures" records=${data.failed} none="None of the tasks that are kept has failed." href=${hrefOf("tasks", null, { handler: name, outcome: "failed" })} />
        <${Tasks} title="Last finished" records=${data.last.slice(0, SHOWN)} none="None of its tasks has finished yet." href=${hrefOf("tasks", null, { handler: name, state: "finished" })} />
        ${handler.limits.length > 0 && html`<${Limits} found=${data} handlers=${[handler]} />`}
      </div>
      <div class="stack"><${Measures} handler=${handler} last=${data.last} /><${Defaults} handler=${handler} /><${Params} handler=${handler} /></div>
    </div>
  <//>`;
}

async function readHandler(name) {
  const found = await readHandlersAndLimits();
  const handler = found.handlers.find((each) => each.name === name);
  if (!handler) return { ...found, handler };
  const [failed, last] = await Promise.all([lastTasks(name, "failed", SHOWN), lastTasks(name, undefined, LAST)]);
  return { ...found, handler, failed: failed.data, last: last.data };
}

function Head({ data: { handler, running }, again }) {
  const { name, description } = handler;
  const pause = ownPause(handler);
  const toggle = () => setPaused(name, !pause, { running: running.get(name)?.length, done: again });
  return html`<div class="task-head">
    <div class="task-head__text">
      <h2 class="task-head__title" dir="auto">${name}</h2>
      <div class="task-head__facts">
        ${pause && html`<${Status} status="paused" pill /><span>by ${pause.by}, <${Ago} at=${pause.since} /></span>`}
        <span dir="auto">${description}</span>
      </div>
    </div>
    ${may("submit") && html`<div class="task-head__actions">
      <${Button} icon="play" onClick=${() => openNewTask({ handler: name })}>Run…<//>
      ${may("admin") && html`<${Button} icon=${pause ? "resume" : "pause"} onClick=${toggle}>${pause ? "Resume" : "Pause"}<//>`}
    </div>`}
  </div>`;
}

function Running({ records }) {
  return html`<${Panel} title="Running" note=${records.length ? count(records.length) : ""} flush>
    ${records.length === 0 ? html`<p class="panel__none">None of its tasks is running.</p>` : html`<table class="table">
      <thead class="visually-hidden"><tr><th scope="col">State</th><th scope="col">Name</th><th scope="col">Runs for</th></tr></thead>
      <tbody>${records.slice(0, SHOWN).map(({ id, name, started_at: from }) => html`<tr key=${id}>
        <td class="table__mark"><${Status} status="running" wordless /></td>
        <td class="table__name table__name--only"><${Name} name=${name} href=${hrefOf("tasks", id)} /></td>
        <td class="table__number"><${Since} at=${from} /></td></tr>`)}</tbody>
    </table>`}
  <//>`;
}

function Tasks({ title, records, none, href }) {
  const all = records.length > 0 && html`<a href=${href}>Show all</a>`;
  return html`<${Panel} title=${title} action=${all} flush>
    ${records.length === 0 ? html`<p class="panel__none">${none}</p>` : html`<table class="table">
      <thead><tr>
        <th scope="col" class="table__status">Outcome</th><th scope="col">Name</th><th scope="col" class="table__medium">Error</th>
        <th scope="col" class="table__number table__medium">Took</th><th scope="col" class="table__number">Finished</th>
      </tr></thead>
      <tbody>${records.map((record) => html`<${TaskRow} key=${record.id} record=${record} />`)}</tbody>
    </table>`}
  <//>`;
}

function TaskRow({ record }) {
  const status = statusOf(record);
  const role = isFailure(status) ? "failure" : undefined;
  const tone = role ? " table__note--failure" : status === "timed-out" ? " table__note--late" : "";
  const took = record.started_at ? span(Date.parse(record.finished_at) - Date.parse(record.started_at)) : "–";
  return html`<tr>
    <td class="table__status"><${Status} status=${status} /></td>
    <td class="table__name"><${Name} name=${record.name} href=${hrefOf("tasks", record.id)} />
      ${record.error && html`<div class=${`table__below${tone}`} data-role=${role} title=${record.error}>${record.error}</div>`}</td>
    <td class=${`table__note table__medium${tone}`} data-role=${role} title=${record.error}>${record.error}</td>
    <td class="table__number table__medium">${took}</td>
    <td class="table__number"><${Ago} at=${record.finished_at} /></td>
  </tr>`;
}

function Measures({ handler, last }) {
  const { percent, title } = successOf(handler);
  const outcomes = last.map((record) => statusOf(record)).reverse();
  const facts = [
    ["Succeeded", html`<span title=${title}>${percent}</span>`],
    ...Object.entries(handler.outcomes).filter(([outcome]) => outcome !== "succeeded").map(([outcome, number]) => [capital(words(outcome)), count(number)]),
    ["Half under", runTime(handler, "p50")],
    ["95 % under", runTime(handler, "p95")],
  ];
  return html`<${Panel} title="Measures">
    ${outcomes.length > 0 && html`<${Strip} outcomes=${outcomes} kind="full" slots=${LAST} />`}
    <${Facts} facts=${facts} />
  <//>`;
}

const capital = (text) => `${text[0].toUpperCase()}${text.slice(1)}`;

const SPANS = ["timeout", "retry_delay", "retry_delay_max", "keep", "duration"];

function Defaults({ handler: { defaults } }) {
  const written = Object.entries(defaults).map(([field, value]) => [capital(words(field)), typeof value === "number" && SPANS.includes(field) ? span(value) : String(value)]);
  return written.length > 0 && html`<${Panel} title="Defaults" note="of its tasks"><${Facts} facts=${written} /><//>`;
}

const Params = ({ handler: { params } }) => html`<${Panel} title="Params" note="JSON Schema" flush><${Json} value=${params} label="JSON Schema of the params" /><//>`;
