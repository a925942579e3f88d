// The list of schedules: when each is due, its next day to scale, its last occurrences, and what can be done with it.

import { BASE } from "../api/client.js";
import { now } from "../api/clock.js";
import { listSchedules } from "../api/schedules.js";
import { statistics } from "../api/server.js";
import { may } from "../api/session.js";
import { useData } from "../app/data.js";
import { Page } from "../app/frame.js";
import { hrefOf, query } from "../app/router.js";
import { Button, Empty, Name, Skeleton } from "../components/basics.js";
import { timesInWords } from "../components/cron_words.js";
import { count, countOf, zoneText } from "../components/format.js";
import { html, useState } from "../components/html.js";
import { Status } from "../components/status.js";
import { Ago } from "../components/time.js";
import { NothingYet } from "./nothing_yet.js";
import { runNow, setPaused } from "./schedule_actions.js";
import { OccurrenceStrip, reasonInWords, Timeline, TimelineAxis } from "./schedule_occurrences.js";

const PAGE = 100;
const SHOWN_MAX = 1000;
const READ_EVERY_MS = 15_000;

const isSkipped = ({ occurrences: [last] }) => Boolean(last?.skipped) && last.skipped !== "paused";

const VIEWS = [
  [null, "All", () => true],
  ["paused", "Paused", ({ paused }) => paused],
  ["skipped", "Last one skipped", isSkipped],
];

export default function Schedules() {
  const [limit, setLimit] = useState(PAGE);
  const read = () => listSchedules(limit);
  const known = { names: new Set() };
  const { data: page, problem, again } = useData(read, [limit], {
    when: ({ kind, data }) => kind === "skipped" || (kind === "task" && known.names.has(data.name)),
    pauseMs: 2000,
    everyMs: READ_EVERY_MS,
  });
  known.names = new Set(page?.data.map(({ task }) => task.name));
  return html`<${Page} title="Schedules">
    <${Content} page=${page} problem=${problem} again=${again} more=${() => setLimit(Math.min(limit * 2, SHOWN_MAX))} />
  <//>`;
}

function Content({ page, problem, again, more }) {
  if (!page && problem) return html`<section class="panel"><${Empty} icon="warn" title="The schedules could not be read">
    <p class="empty__text">${problem.message}</p><${Button} onClick=${again}>Try again<//><//></section>`;
  if (!page) return html`<section class="panel"><${Skeleton} rows=${8} /></section>`;
  if (!page.data.length) return html`<${First} />`;
  const chosen = query.value.get("show");
  const [, , matches] = VIEWS.find(([name]) => name === chosen) ?? VIEWS[0];
  const shown = page.data.filter(matches);
  return html`<${Views} schedules=${page.data} chosen=${chosen} />
    <section class="panel" aria-label="Schedules">
      ${shown.length ? html`<${Table} schedules=${shown} again=${again} />` : html`<${Empty} icon="schedules" title="None of them">
        <p class="empty__text">${chosen === "paused" ? "No schedule is paused." : "The last occurrence of each schedule has submitted its task."}</p>
        <p><a href=${hrefOf("schedules")}>Show all schedules</a></p><//>`}
      <${Foot} page=${page} shown=${shown.length} more=${more} />
    </section>`;
}

function First() {
  const line = `curl -X PUT ${BASE.href}schedules/nightly -H "Content-Type: application/json" \\\n     -d '{"cron": "0 3 * * *", "task": {"name": "nightly", "duration": 2000}}'`;
  const about = "A schedule submits a task at its times.";
  return html`<section class="panel"><${NothingYet} icon="schedules" title="No schedules yet" about=${about} making="Adding" line=${line} /></section>`;
}

function Views({ schedules, chosen }) {
  return html`<nav class="tabs" aria-label="Views">${VIEWS.map(([name, text, matches]) => html`<a class="tabs__tab" key=${text}
    href=${hrefOf("schedules", null, { show: name })} aria-current=${chosen === name ? "true" : undefined}>${text}<span
    class="tabs__count">${count(schedules.filter(matches).length)}</span></a>`)}</nav>`;
}

function Table({ schedules, again }) {
  return html`<table class="table table--tall">
    <thead><tr>
      <th scope="col" class="table__name">Name</th>
      <th scope="col" class="table__medium">Due</th>
      <th scope="col" class="table__wide table__timeline"><${TimelineAxis} /><span class="visually-hidden">Next 24 hours</span></th>
      <th scope="col" class="table__number">Next</th>
      <th scope="col" class="table__medium">Last ten</th>
      <th scope="col" class="table__wide table__skipped">Last skipped</th>
      ${may("submit") && html`<th scope="col" class="table__actions table__medium"><span class="visually-hidden">Actions</span></th>`}
    </tr></thead>
    <tbody>${schedules.map((schedule) => html`<${Row} key=${schedule.name} schedule=${schedule} again=${again} />`)}</tbody>
  </table>`;
}

function Row({ schedule, again }) {
  const { name, task, cron, timezone, every, paused, occurrences } = schedule;
  const words = timesInWords(schedule);
  const exact = cron && (words === cron ? timezone : `${cron} ${timezone}`);
  return html`<tr>
    <td class="table__name"><${Name} name=${name} href=${hrefOf("schedules", name)} />
      <div class="text-faint truncate" dir="auto" title=${task.name}>${task.name}</div>
      <div class="table__below" title=${words}>${words}</div>
      ${occurrences.length > 0 && html`<div class="table__below"><${OccurrenceStrip} occurrences=${occurrences} /></div>`}</td>
    <td class="table__words table__medium"><span class="truncate" title=${words}>${words}</span>
      <span class="text-faint truncate" title=${exact}>${exact}${every && schedule.until && "until a day"}</span></td>
    <td class="table__wide table__timeline"><${Timeline} schedule=${schedule} /></td>
    <td class="table__number"><${Next} schedule=${schedule} /></td>
    <td class=${`table__medium${occurrences.length ? " table__strip" : ""}`}><${OccurrenceStrip} occurrences=${occurrences} /></td>
    <td class="table__short table__wide table__skipped"><${LastSkipped} occurrences=${occurrences} /></td>
    ${may("submit") && html`<td class="table__actions table__icons table__medium"><span class="table__buttons">
      <${Button} kind="quiet" small icon="play" label=${`Run ${name} now`} onClick=${() => runNow(schedule, again)} />
      <${Button} kind="quiet" small icon=${paused ? "resume" : "pause"} label=${`${paused ? "Resume" : "Pause"} ${name}`} onClick=${() => setPaused(schedule, !paused, again)} />
    </span></td>`}
  </tr>`;
}

function Next({ schedule: { paused, next } }) {
  if (paused) return html`<${Status} status="paused" />`;
  return next.length ? html`<${Ago} at=${next[0]} />` : html`<span title="It has no further times">never</span>`;
}

/** The last skip among the last occurrences: why, and how often in a row. */
function LastSkipped({ occurrences }) {
  const last = occurrences.find(({ skipped }) => skipped);
  if (!last) return html`<span class="text-faint">–</span>`;
  const words = reasonInWords(last.skipped);
  return html`<span class="truncate" title=${words}>${last.count > 1 ? `${count(last.count)} × ` : ""}${words}</span>
    <span class="text-faint truncate"><${Ago} at=${last.last_at ?? last.at} /></span>`;
}

function Foot({ page: { data, next }, shown, more }) {
  const all = statistics.value?.store.schedules ?? data.length;
  const whole = next === null ? countOf(data.length, "schedule") : `The first ${count(data.length)} of ${countOf(all, "schedule")}, by name`;
  return html`<div class="panel__foot">
    <span>${whole}${shown === data.length ? "" : `, ${count(shown)} shown`}</span>
    ${next !== null && data.length < SHOWN_MAX && html`<${Button} small onClick=${more}>Show more<//>`}
    <span>Times in ${zoneText(now.peek())}</span>
  </div>`;
}
