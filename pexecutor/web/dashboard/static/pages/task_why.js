// Why a task does not run: the reasons, the most binding first.

import { explainTask } from "../api/tasks.js";
import { useData } from "../app/data.js";
import { hrefOf } from "../app/router.js";
import { Panel, Skeleton } from "../components/basics.js";
import { html } from "../components/html.js";
import { Icon } from "../components/icon.js";
import { Ago } from "../components/time.js";

const EVERY_MS = 3000;

const ICONS = {
  store_trouble: "store", draining: "drain", no_such_handler: "handlers", follows: "right", due: "schedules",
  paused: "pause", limit: "lock", ahead: "queue", pool_busy: "nodes",
};

const TITLES = {
  store_trouble: "The store cannot be written", draining: "Every server is stopping", no_such_handler: "No server has its handler",
  follows: "It follows another task", due: "It is not due", paused: "It is paused", limit: "A limit has no free slot",
  ahead: "Other tasks start before", pool_busy: "Every worker runs a task",
};

/** The panel. */
export function Why({ record }) {
  const { data, problem } = useData(() => explainTask(record.id), [record.id, record.state], { when: ({ data: each }) => each.id === record.id, everyMs: EVERY_MS });
  const reasons = data;
  return html`<${Panel} title="Why it waits" note="each of these alone would delay its start" flush>
    ${!reasons ? (problem ? html`<p class="panel__none">${problem.message}</p>` : html`<${Skeleton} rows=${2} />`)
      : reasons.length === 0 ? html`<p class="panel__none">Nothing holds it back: it starts at once.</p>`
      : html`<ul class="reasons">${reasons.map((reason, index) => html`<${Reason} key=${reason.reason + index} reason=${reason} isBinding=${index === 0} />`)}</ul>`}
  <//>`;
}

function Reason({ reason, isBinding }) {
  const { reason: word, detail, until, ids = [], id, estimate } = reason;
  const title = TITLES[word] ?? word;
  const links = [...ids, ...(id ? [id] : [])];
  return html`<li class=${`reasons__item${isBinding ? " reasons__item--binding" : ""}`}>
    <${Icon} name=${ICONS[word] ?? "info"} />
    <span class="reasons__what">${title}</span>
    <span class="reasons__until">${until && html`<${Ago} at=${until} />`}</span>
    <span class="reasons__detail">${detail.toLowerCase() !== title.toLowerCase() && detail}${estimate && "; some of them have limits of their own and may have to wait longer"}
      ${links.length > 0 && html`<span class="reasons__links"> ${links.map((each) => html`<a class="link text-mono" key=${each} href=${hrefOf("tasks", each)}>${each}</a> `)}</span>`}</span>
  </li>`;
}
