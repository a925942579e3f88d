// The page of one task: its life, why it waits, its log, its attempts, params and result.

import { now } from "../api/clock.js";
import { handlers, readHandlers } from "../api/server.js";
import { may } from "../api/session.js";
import { listTasks, showTask } from "../api/tasks.js";
import { useData } from "../app/data.js";
import { Page } from "../app/frame.js";
import { hrefOf, query, setQuery } from "../app/router.js";
import { Button, Chip, Copy, Empty, Panel, Skeleton } from "../components/basics.js";
import { clockTime, span, wholeSpan } from "../components/format.js";
import { html, useEffect } from "../components/html.js";
import { Icon } from "../components/icon.js";
import { LifeBar } from "../components/life_bar.js";
import { isFailure, Status, statusOf } from "../components/status.js";
import { LogPanel } from "../log/panel.js";
import { runAgain, runNow } from "./task_actions.js";
import { Attempts, Details, Earlier, Params, Result } from "./task_facts.js";
import { askToCancel, RowMenu, TaskDialogs } from "./task_menu.js";
import { cancelOrAsk } from "./task_actions.js";
import { Progress, progressInWords, usualOf } from "./task_progress.js";
import { Why } from "./task_why.js";

const EARLIER = 30;

export default function Task({ item: id }) {
  const { data: record, problem } = useData(() => showTask(id), [id], { when: ({ data }) => data.id === id, pauseMs: 500, everyMs: 10_000 });
  useEffect(() => void readHandlers().catch(() => {}), []);
  const crumbs = [["Tasks", hrefOf("tasks")]];
  if (!record && problem) return html`<${Page} title=${id} crumbs=${crumbs}><section class="panel"><${Gone} problem=${problem} /></section><//>`;
  if (!record) return html`<${Page} title=${id} crumbs=${crumbs}><section class="panel"><${Skeleton} rows=${8} /></section><//>`;
  return html`<${Page} title=${record.name} crumbs=${crumbs}>
    <${Head} record=${record} />
    <${Life} record=${record} />
    ${(record.state === "pending" || record.state === "scheduled") && html`<${Why} record=${record} />`}
    <div class="split">
      <div class="stack"><${Log} record=${record} /><${Attempts} record=${record} /></div>
      <div class="stack"><${Details} record=${record} /><${Params} record=${record} /><${Result} record=${record} /><${EarlierOnes} record=${record} /></div>
    </div>
    <${TaskDialogs} />
  <//>`;
}

function Gone({ problem }) {
  const [title, text] = {
    404: ["There is no such task", "Its id is unknown on this server."],
    410: ["The record is no longer kept", "The task ended, and newer records have taken its place."],
  }[problem.status] ?? ["The task could not be read", problem.message];
  return html`<${Empty} icon="search" title=${title}><p class="empty__text">${text}</p><p><a href=${hrefOf("tasks")}>Show all tasks</a></p><//>`;
}

function Head({ record }) {
  const isOver = record.state === "finished";
  const status = statusOf(record);
  const failed = isFailure(status);
  return html`<div class="task-head">
    <div class="task-head__text">
      <h2 class="task-head__title" dir="auto">${record.name}</h2>
      <div class="task-head__facts">
        <${Status} status=${status} pill />
        <span>${record.handler}</span>
        <span class="row row--fixed"><span class="text-mono">${record.id}</span><${Copy} text=${record.id} label="Copy the id" /></span>
        ${record.tags?.map((tag) => html`<${Chip} key=${tag} title=${`tag ${tag}`}>${tag}<//>`)}
      </div>
      ${record.error && html`<p class=${failed ? "problem" : "text-muted"} data-role=${failed ? "failure" : undefined}>
        ${failed && html`<${Icon} name="warn" />`}<span>${record.error}</span></p>`}
    </div>
    ${may("submit") && html`<div class="task-head__actions">
      ${isOver && html`<${Button} icon="again" onClick=${() => runAgain(record)}>Run again<//>`}
      ${record.state === "scheduled" && !record.follows && html`<${Button} icon="play" onClick=${() => runNow(record)}>Run now<//>`}
      ${!isOver && html`<${Button} icon="x" onClick=${() => cancelOrAsk(record, askToCancel)}>Cancel…<//>`}
      <${RowMenu} record=${record} small=${false} inHead />
    </div>`}
  </div>`;
}

/** When a running task is likely to end: by its own progress, or else by how long tasks of its handler usually take. */
function likelyEndOf(record, usual) {
  if (record.state !== "running") return null;
  const from = Date.parse(record.started_at);
  const { done, total } = record.progress ?? {};
  if (total && done) return from + ((now.value - from) * total) / done;
  return usual?.half > now.value - from ? from + usual.half : null;
}

function Life({ record }) {
  const isOver = record.state === "finished";
  const begin = Date.parse(record.submitted_at);
  const usual = usualOf(record, handlers.value);
  const likelyEnd = likelyEndOf(record, usual);
  const note = isOver ? `${span(Date.parse(record.finished_at) - begin)} from submit to end`
    : `${wholeSpan(now.value - begin)} since it was submitted${likelyEnd ? `, likely done at ${clockTime(likelyEnd)}` : ""}`;
  const progress = record.state === "running" && progressInWords(record, usual);
  return html`<${Panel} title=${isOver ? "Life" : "Life so far"} note=${note}>
    <${LifeBar} record=${record} now=${now.value} likelyEnd=${likelyEnd} />
    ${progress && html`<div class="life-progress"><${Progress} record=${record} usual=${usual} /><span class="text-muted">${progress}</span></div>`}
  <//>`;
}

function Log({ record }) {
  const isRunning = record.state === "running";
  const attempts = record.attempts.length + (isRunning ? 1 : 0);
  if (!attempts) return null;
  const attempt = Math.min(attempts, Number(query.value.get("attempt")) || attempts);
  const begin = Date.parse(record.attempts[attempt - 1]?.started_at ?? record.started_at);
  const choose = (number) => setQuery({ attempt: number === attempts ? null : String(number) });
  return html`<${LogPanel} id=${record.id} attempt=${attempt} attempts=${attempts} choose=${choose} begin=${begin}
    isLive=${isRunning && attempt === attempts} node=${record.log_node ?? record.output?.log_node} />`;
}

function EarlierOnes({ record }) {
  const read = () => listTasks({ name: record.name, state: "finished" }, { limit: EARLIER }).then(({ data }) => data);
  const { data } = useData(read, [record.name, record.state]);
  return data?.length > 1 ? html`<${Earlier} name=${record.name} records=${data} />` : null;
}
