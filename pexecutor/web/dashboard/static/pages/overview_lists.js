// The lists of the overview: running and recently finished tasks, the next occurrences of schedules, nodes.

import { get } from "../api/client.js";
import { now } from "../api/clock.js";
import { handlers, statistics } from "../api/server.js";
import { may } from "../api/session.js";
import { listTasks } from "../api/tasks.js";
import { useData } from "../app/data.js";
import { hrefOf } from "../app/router.js";
import { Button, Name, Panel, Skeleton, Slots } from "../components/basics.js";
import { count, countOf, span } from "../components/format.js";
import { html, signal } from "../components/html.js";
import { Status, statusOf } from "../components/status.js";
import { Ago, Since } from "../components/time.js";
import { CancelTask, cancelOrAsk } from "./task_actions.js";
import { isLate, Progress, progressInWords, usualOf } from "./task_progress.js";

const SHOWN_MAX = 8;

const cancelled = signal(null); // the record that the reader is asked about

const isStart = ({ kind, data }) => kind === "task" && (data.state === "running" || data.state === "finished");

/** The running tasks, with their progress. */
export function RunningTasks() {
  const read = () => listTasks({ state: "running" }, { limit: SHOWN_MAX }).then(({ data }) => data);
  const { data } = useData(read, [], { when: (event) => event.kind === "progress" || isStart(event), everyMs: 10_000 });
  const found = statistics.value;
  const label = found ? `${found.busy} of ${countOf(found.pool_size, "worker")} busy` : "";
  const note = found && html`<span class="row"><${Slots} used=${found.busy} size=${found.pool_size} label=${label} /><span>${label}</span></span>`;
  const more = found && found.store.running > 0 && html`<a href=${hrefOf("tasks", null, { state: "running" })}>All ${count(found.store.running)}</a>`;
  return html`<${Panel} title="Running" note=${note} action=${more} flush>
    ${!data ? html`<${Skeleton} rows=${4} />` : data.length === 0 ? html`<p class="panel__none">No task is running.</p>` : html`<table class="table">
      <thead><tr>
        <th scope="col" class="table__mark"><span class="visually-hidden">State</span></th>
        <th scope="col">Name</th>
        <th scope="col" class="table__wide">Handler</th>
        <th scope="col" class="table__progress">Progress</th>
        <th scope="col" class="table__medium"><span class="visually-hidden">Of</span></th>
        <th scope="col" class="table__number table__medium">Runs for</th>
        ${may("submit") && html`<th scope="col" class="table__actions"><span class="visually-hidden">Actions</span></th>`}
      </tr></thead>
      <tbody>${data.map((record) => html`<${RunningRow} key=${record.id} record=${record} />`)}</tbody>
    </table>`}
    ${cancelled.value && html`<${CancelTask} record=${cancelled.value} onClose=${() => (cancelled.value = null)} />`}
  <//>`;
}

function RunningRow({ record }) {
  const usual = usualOf(record, handlers.value);
  const late = !record.progress && isLate(record, usual, now.value) ? " table__note--late" : "";
  const progress = progressInWords(record, usual);
  return html`<tr>
    <td class="table__mark"><${Status} status="running" wordless /></td>
    <td class="table__name"><${Name} name=${record.name} href=${hrefOf("tasks", record.id)} />
      <div class="table__below" title=${`${record.handler} · ${progress}`}>${record.handler} · <${Since} at=${record.started_at} /> ${progress && `· ${progress}`}</div></td>
    <td class="table__short table__wide" title=${record.handler}>${record.handler}</td>
    <td class="table__progress"><${Progress} record=${record} usual=${usual} /></td>
    <td class=${`table__short table__medium${late}`} title=${progress}>${progress}</td>
    <td class="table__number table__medium"><${Since} at=${record.started_at} /></td>
    ${may("submit") && html`<td class="table__actions"><div class="table__buttons">
      <${Button} kind="quiet" small icon="x" label=${`Cancel ${record.name}`} onClick=${() => cancelOrAsk(record, (asked) => (cancelled.value = asked))} />
    </div></td>`}
  </tr>`;
}

/** The tasks that have ended last. */
export function Finished() {
  const read = () => listTasks({ state: "finished" }, { limit: SHOWN_MAX }).then(({ data }) => data);
  const { data } = useData(read, [], { when: ({ data: record }) => record.state === "finished", pauseMs: 2000, everyMs: 30_000 });
  const number = statistics.value?.store.history;
  const more = number > 0 && html`<a href=${hrefOf("tasks", null, { state: "finished" })}>All ${count(number)}</a>`;
  return html`<${Panel} title="Recently finished" action=${more} flush>
    ${!data ? html`<${Skeleton} rows=${4} />` : data.length === 0 ? html`<p class="panel__none">No task has finished yet.</p>` : html`<table class="table">
      <thead><tr>
        <th scope="col" class="table__status">Outcome</th>
        <th scope="col">Name</th>
        <th scope="col" class="table__wide">Handler</th>
        <th scope="col" class="table__medium">Error</th>
        <th scope="col" class="table__number table__medium">Took</th>
        <th scope="col" class="table__number">Finished</th>
      </tr></thead>
      <tbody>${data.map((record) => html`<${FinishedRow} key=${record.id} record=${record} />`)}</tbody>
    </table>`}
  <//>`;
}

function FinishedRow({ record }) {
  const failed = ["failed", "abandoned"].includes(record.outcome);
  const tone = failed ? " table__note--failure" : record.outcome === "timed_out" ? " table__note--late" : "";
  const took = record.started_at ? span(Date.parse(record.finished_at) - Date.parse(record.started_at)) : "–";
  return html`<tr>
    <td class="table__status"><${Status} status=${statusOf(record)} /></td>
    <td class="table__name"><${Name} name=${record.name} href=${hrefOf("tasks", record.id)} />
      ${record.error && html`<div class=${`table__below${tone}`} data-role=${failed ? "failure" : undefined} title=${record.error}>${record.error}</div>`}</td>
    <td class="table__short table__wide" title=${record.handler}>${record.handler}</td>
    <td class=${`table__note table__medium${tone}`} data-role=${failed ? "failure" : undefined} title=${record.error}>${record.error}</td>
    <td class="table__number table__medium">${took}</td>
    <td class="table__number"><${Ago} at=${record.finished_at} /></td>
  </tr>`;
}

/** The next occurrences of schedules. */
export function NextOccurrences() {
  const { data } = useData(() => get("schedules?limit=200"), [], { when: ({ kind }) => kind === "skipped", everyMs: 15_000 });
  if (!data?.length) return null;
  const next = data.filter(({ paused, next: [time] }) => time && !paused).sort((a, b) => (a.next[0] < b.next[0] ? -1 : 1));
  const more = html`<a href=${hrefOf("schedules")}>All ${count(data.length)}</a>`;
  return html`<${Panel} title="Next occurrences" action=${more} flush>
    <table class="table table--tall">
      <thead class="visually-hidden"><tr><th scope="col">Schedule</th><th scope="col">Next</th></tr></thead>
      <tbody>${next.slice(0, 6).map((each) => html`<tr key=${each.name}>
        <td class="table__name"><${Name} name=${each.name} href=${hrefOf("schedules", each.name)} />
          <div class="text-faint truncate" title=${timesInWords(each)}>${timesInWords(each)}</div></td>
        <td class="table__number"><${Ago} at=${each.next[0]} /></td>
      </tr>`)}</tbody>
    </table>
  <//>`;
}

/** When a schedule is due: `every 6 h`, or its cron expression. */
export const timesInWords = ({ every, cron }) => (every ? `every ${span(every)}` : cron);

/** The nodes that share the store; nothing if it is not shared. */
export function Nodes() {
  const { data } = useData(() => get("nodes"), [], { everyMs: 3000 });
  if (!data?.length) return null;
  const taking = data.filter(({ draining }) => !draining).length;
  return html`<${Panel} title="Nodes" note=${`${taking} of ${data.length} take tasks`} flush>
    <table class="table">
      <thead class="visually-hidden"><tr><th scope="col">Node</th><th scope="col">Workers</th><th scope="col">Last heard of</th></tr></thead>
      <tbody>${data.map(({ name, pool_size: size, busy, beat_at: beat }) => html`<tr key=${name}>
        <td class="table__name"><${Name} name=${name} href=${hrefOf("nodes", name)} /></td>
        <td class="table__slots"><${Slots} used=${busy} size=${size} label=${`${busy} of ${countOf(size, "worker")} busy`} /></td>
        <td class="table__number"><${Ago} at=${beat} /></td>
      </tr>`)}</tbody>
    </table>
  <//>`;
}
