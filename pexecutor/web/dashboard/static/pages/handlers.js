// The handlers: how their tasks end, how long they take, which slots they use; and the limits with their holders.

import { readHandlersAndLimits } from "../api/handlers.js";
import { pauses, statistics } from "../api/server.js";
import { may } from "../api/session.js";
import { useData } from "../app/data.js";
import { Page } from "../app/frame.js";
import { hrefOf } from "../app/router.js";
import { Button, Empty, Name, Panel, Skeleton } from "../components/basics.js";
import { count } from "../components/format.js";
import { html } from "../components/html.js";
import { openNewTask } from "../forms/new_task.js";
import { ownPause, setPaused } from "./handler_actions.js";
import { Limits } from "./handler_limits.js";
import { HandlerSlots, runTime, successOf } from "./handler_measures.js";

const isPause = ({ kind }) => kind === "paused" || kind === "resumed";

export default function Handlers() {
  const { data, problem, again } = useData(readHandlersAndLimits, [], { when: isPause, everyMs: 4000 });
  const isPaused = pauses.value.some(({ what }) => what === "everything");
  const tools = may("admin") && data && html`<${Button} icon=${isPaused ? "resume" : "pause"} class="topbar__new"
    onClick=${() => setPaused(null, !isPaused, { running: statistics.value?.store.running, done: again })}>
    <span class="topbar__text">${isPaused ? "Resume" : "Pause"} everything</span><//>`;
  return html`<${Page} title="Handlers and limits" tools=${tools}>
    ${data ? html`<${Table} found=${data} again=${again} /><${Limits} found=${data} />`
      : html`<section class="panel">${problem ? html`<${Empty} icon="warn" title="The handlers could not be read">
          <p class="empty__text">${problem.message}</p><${Button} onClick=${again}>Try again<//><//>` : html`<${Skeleton} rows=${8} />`}</section>`}
  <//>`;
}

function Table({ found: { handlers, running }, again }) {
  return html`<${Panel} title="Handlers" note="run times of this server since its start" flush>
    <table class="table table--tall">
      <thead><tr>
        <th scope="col" class="table__name">Name</th>
        <th scope="col" class="table__medium">Running</th>
        <th scope="col" class="table__number">Succeeded</th>
        <th scope="col" class="table__number table__medium" title="Half of the attempts took less">p50</th>
        <th scope="col" class="table__number table__medium" title="95 % of the attempts took less">p95</th>
        ${may("submit") && html`<th scope="col" class="table__actions"><span class="visually-hidden">Actions</span></th>`}
      </tr></thead>
      <tbody>${handlers.map((handler) => html`<${Row} key=${handler.name} handler=${handler} running=${running.get(handler.name) ?? []} again=${again} />`)}</tbody>
    </table>
  <//>`;
}

function Row({ handler, running, again }) {
  const { name, description } = handler;
  const { percent, title } = successOf(handler);
  const paused = Boolean(ownPause(handler));
  const median = handler.run_seconds && `half under ${runTime(handler, "p50")}`;
  const below = [paused && "paused", `${count(running.length)} running`, median].filter(Boolean).join(", ");
  return html`<tr>
    <td class="table__name"><${Name} name=${name} href=${hrefOf("handlers", name)} />
      <div class="text-faint truncate" dir="auto" title=${description}>${description}</div>
      <div class="table__below" title=${below}>${below}</div></td>
    <td class="table__slots table__medium"><${HandlerSlots} handler=${handler} running=${running.length} /></td>
    <td class="table__number" title=${title}>${percent}</td>
    <td class="table__number table__medium">${runTime(handler, "p50")}</td>
    <td class="table__number table__medium">${runTime(handler, "p95")}</td>
    ${may("submit") && html`<td class="table__actions"><span class="table__buttons">
      <${Button} small aria-label=${`Run ${name}`} onClick=${() => openNewTask({ handler: name })}>Run…<//>
      ${may("admin") && html`<${Button} kind="quiet" small icon=${paused ? "resume" : "pause"} class="not-on-phone" label=${`${paused ? "Resume" : "Pause"} ${name}`}
        onClick=${() => setPaused(name, !paused, { running: running.length, done: again })} />`}
    </span></td>`}
  </tr>`;
}
