// The page of one schedule: its next times, its last occurrences with what came of them, and its definition.

import { now } from "../api/clock.js";
import { showSchedule } from "../api/schedules.js";
import { may } from "../api/session.js";
import { useData } from "../app/data.js";
import { Page } from "../app/frame.js";
import { hrefOf } from "../app/router.js";
import { Button, Copy, Empty, Facts, Panel, Skeleton } from "../components/basics.js";
import { Json } from "../components/code.js";
import { timesInWords } from "../components/cron_words.js";
import { count, countOf, span, wholeSpan, zone } from "../components/format.js";
import { html, useEffect, useState } from "../components/html.js";
import { Icon } from "../components/icon.js";
import { isFailure, Status, STATUSES } from "../components/status.js";
import { Ago } from "../components/time.js";
import { RemoveSchedule, runNow, setPaused } from "./schedule_actions.js";
import { reasonInWords, statusOfOccurrence, Timeline, TimelineAxis } from "./schedule_occurrences.js";
import { askForStatuses } from "./schedule_statuses.js";
import { atInZone, dayAndTime } from "./schedule_times.js";

export default function Schedule({ item: name }) {
  const known = {};
  const { data: schedule, problem, again } = useData(() => showSchedule(name), [name], {
    when: ({ kind, data }) => (kind === "skipped" ? data.schedule === name : kind === "task" && data.name === known.task),
    everyMs: 15_000,
  });
  known.task = schedule?.task.name;
  const crumbs = [["Schedules", hrefOf("schedules")]];
  if (!schedule) return html`<${Page} title=${name} crumbs=${crumbs}><section class="panel">
    ${problem ? html`<${Gone} problem=${problem} again=${again} />` : html`<${Skeleton} rows=${8} />`}</section><//>`;
  return html`<${Page} title=${name} crumbs=${crumbs}>
    <${Head} schedule=${schedule} again=${again} />
    <${NextTimes} schedule=${schedule} />
    <div class="split">
      <div class="stack"><${Occurrences} schedule=${schedule} /></div>
      <div class="stack"><${Definition} schedule=${schedule} /><${TaskOf} schedule=${schedule} /></div>
    </div>
  <//>`;
}

function Gone({ problem, again }) {
  if (problem.status === 404) return html`<${Empty} icon="search" title="There is no such schedule">
    <p class="empty__text">It was removed, or it never had this name.</p><p><a href=${hrefOf("schedules")}>Show all schedules</a></p><//>`;
  return html`<${Empty} icon="warn" title="The schedule could not be read"><p class="empty__text">${problem.message}</p>
    <${Button} onClick=${again}>Try again<//><//>`;
}

function Head({ schedule, again }) {
  const { name, paused, next, owner } = schedule;
  const [isAsking, setAsking] = useState(false);
  return html`<div class="task-head">
    <div class="task-head__text">
      <h2 class="task-head__title" dir="auto">${name}</h2>
      <div class="task-head__facts">
        ${paused ? html`<${Status} status="paused" pill />` : html`<span>${next.length ? html`next <${Ago} at=${next[0]} />` : "has no further times"}</span>`}
        <span>${timesInWords(schedule)}</span>
        ${owner === "file" && html`<span class="row row--fixed" title="The API cannot change or remove it"><${Icon} name="lock" />declared in the settings file</span>`}
      </div>
    </div>
    ${may("submit") && html`<div class="task-head__actions">
      <${Button} icon="play" onClick=${() => runNow(schedule, again)}>Run now<//>
      <${Button} icon=${paused ? "resume" : "pause"} onClick=${() => setPaused(schedule, !paused, again)}>${paused ? "Resume" : "Pause"}<//>
      ${owner === "api" && html`<${Button} icon="x" onClick=${() => setAsking(true)}>Remove…<//>`}
    </div>`}
    ${isAsking && html`<${RemoveSchedule} schedule=${schedule} onClose=${() => setAsking(false)} />`}
  </div>`;
}

function NextTimes({ schedule }) {
  const { next, paused, jitter, timezone } = schedule;
  const isElsewhere = timezone && timezone !== zone();
  const notes = [paused && "skipped while it is paused", jitter > 0 && `each fires up to ${span(jitter)} later`, !isElsewhere && `in ${zone()}`];
  return html`<${Panel} title="Next times" note=${notes.filter(Boolean).join(" · ")}>
    ${next.length === 0 ? html`<p class="text-muted">No time is left.</p>` : html`<ol class=${`next-times${paused ? " next-times--paused" : ""}`}>
      ${next.map((at) => html`<li class="next-times__item" key=${at}><strong>${dayAndTime(at)}</strong>
        ${isElsewhere && html`<span class="text-muted">${atInZone(at, timezone)}</span>`}
        <span class="text-faint"><${Ago} at=${at} /></span></li>`)}
    </ol>`}
    <div><${TimelineAxis} /><${Timeline} schedule=${schedule} /></div>
  <//>`;
}

function Occurrences({ schedule: { occurrences } }) {
  const ids = occurrences.map(({ task_id: id }) => id).filter(Boolean);
  useEffect(() => askForStatuses(ids), [ids.join(" ")]);
  const skips = occurrences.filter(({ skipped }) => skipped).reduce((sum, { count: number = 1 }) => sum + number, 0);
  const note = occurrences.length ? `the last ${occurrences.length === 1 ? "one" : count(occurrences.length)}${skips ? `, with ${countOf(skips, "skipped time")}` : ""}` : "";
  return html`<${Panel} title="Occurrences" note=${note} flush>
    ${occurrences.length === 0 ? html`<p class="panel__none">None yet. The first one comes at the next time, or with “Run now”.</p>` : html`
      <table class="table">
        <thead><tr>
          <th scope="col" class="table__status">Outcome</th><th scope="col" class="table__note--only">What happened</th>
          <th scope="col" class="table__number table__medium">Times</th><th scope="col" class="table__number">At</th>
        </tr></thead>
        <tbody>${occurrences.map((each) => html`<${OccurrenceRow} key=${each.at} occurrence=${each} />`)}</tbody>
      </table>`}
  <//>`;
}

function OccurrenceRow({ occurrence }) {
  const { at, task_id: id, skipped, count: number = 1, last_at: last, holder_id: holder } = occurrence;
  const status = statusOfOccurrence(occurrence);
  const known = STATUSES.includes(status);
  const unkept = status === "gone" ? "its record is no longer kept" : "";
  const what = skipped ? html`${reasonInWords(skipped)}${holder && html` by <a class="text-mono" href=${hrefOf("tasks", holder)}>${holder}</a>`}`
    : html`<a class="text-mono" href=${hrefOf("tasks", id)}>${id}</a> ${unkept}`;
  return html`<tr>
    <td class="table__status">${skipped ? html`<${Skipped} />` : known ? html`<${Status} status=${status} />` : html`<span class="text-faint">${status === "gone" ? "unknown" : "…"}</span>`}</td>
    <td class="table__note table__note--only" title=${skipped && reasonInWords(skipped)} data-role=${isFailure(status) ? "failure" : undefined}>${what}</td>
    <td class="table__number table__medium">${number > 1 ? count(number) : ""}</td>
    <td class="table__number">${number > 1 ? html`<${Ago} at=${at} /> to <${Ago} at=${last} />` : html`<${Ago} at=${at} />`}</td>
  </tr>`;
}

const Skipped = () => html`<span class="status status--skipped"><${Icon} name="skip" class="icon status__shape" /><span class="status__word">skipped</span></span>`;

const CATCH_UP = { one: "the latest missed time fires once", none: "missed times do not fire" };

function Definition({ schedule }) {
  const { cron, timezone, every, start_at: start, until, jitter, catch_up: catchUp, late_max: late, owner } = schedule;
  const facts = [
    ["Cron", cron && html`<span class="text-mono">${cron}</span>`],
    ["Time zone", timezone],
    ["Every", every && wholeSpan(every)],
    ["Counted since", start && html`<${Ago} at=${start} />`],
    ["Until", until && html`<${Ago} at=${until} />`],
    ["Jitter", jitter > 0 && `up to ${span(jitter)}`],
    ["After a stop", CATCH_UP[catchUp]],
    ["At most late", late === null ? "one period, at most 1 h" : span(late)],
    ["Declared in", owner === "file" ? "the settings file: change it there" : "the API"],
  ];
  return html`<${Panel} title="Definition"><${Facts} facts=${facts} /><//>`;
}

function TaskOf({ schedule: { task } }) {
  const all = html`<a href=${hrefOf("tasks", null, { name: task.name })}>All of its name</a>`;
  const copy = html`<span class="row row--fixed">${all}<${Copy} text=${JSON.stringify(task)} label="Copy the task" /></span>`;
  return html`<${Panel} title="Task" action=${copy} flush><${Json} value=${task} label="The task that it submits" /><//>`;
}
