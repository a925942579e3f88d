// The page of one node: what it reports, and of the one server of a store that is not shared what it has done.

import { statistics } from "../api/server.js";
import { useData } from "../app/data.js";
import { Page } from "../app/frame.js";
import { hrefOf } from "../app/router.js";
import { Button, Empty, Facts, Panel, Skeleton } from "../components/basics.js";
import { count, countOf, rate, span } from "../components/format.js";
import { html } from "../components/html.js";
import { Ago } from "../components/time.js";
import { isSilent, NodeState, noteOf, ownNode, THIS_SERVER, Workers } from "./node_states.js";
import { readNodes } from "./nodes.js";

export default function Node({ item: name }) {
  const { data, problem, again } = useData(readNodes, [], { everyMs: 3000 });
  const own = statistics.value;
  const isOwn = name === THIS_SERVER;
  const title = isOwn ? location.host : name;
  const crumbs = [["Nodes", hrefOf("nodes")]];
  const page = (content) => html`<${Page} title=${title} crumbs=${crumbs}>${content}<//>`;
  if (!data && problem) return page(html`<section class="panel"><${Empty} icon="warn" title="The node could not be read">
    <p class="empty__text">${problem.message}</p><${Button} onClick=${again}>Try again<//><//></section>`);
  if (!data || (isOwn && !own)) return page(html`<section class="panel"><${Skeleton} rows=${6} /></section>`);
  const node = isOwn ? ownNode(own) : data.find((each) => each.name === name);
  if (!node) return page(html`<section class="panel"><${Empty} icon="search" title="There is no such node">
    <p class="empty__text">It has stopped: a node has a new name after each start. What it ran was given back to the store.</p>
    <p><a href=${hrefOf("nodes")}>Show all nodes</a></p><//></section>`);
  return page(html`<${Head} title=${title} node=${node} />
    <div class="grid-of-two"><${Reported} node=${node} isOwn=${isOwn} />${isOwn && html`<${Done} found=${own} />`}</div>`);
}

function Head({ title, node }) {
  const note = noteOf(node);
  return html`<div class="task-head"><div class="task-head__text">
    <h2 class="task-head__title" dir="auto">${title}</h2>
    <div class="task-head__facts"><${NodeState} node=${node} />${note && html`<span>${note}</span>`}</div>
  </div></div>`;
}

function Reported({ node, isOwn }) {
  const { beat_at: beat, lease_until: lease, phase, draining } = node;
  const found = statistics.value;
  const tasks = html`<a href=${hrefOf("tasks", null, { state: "running" })}>${countOf(found?.store.running ?? 0, "running task")}</a>`;
  const facts = [
    ["Workers", html`<${Workers} node=${node} />`],
    ["Takes tasks", draining ? "no, it is draining" : isSilent(node) ? "not at present" : "yes"],
    ["Phase", isOwn && phase],
    ["Heard of", beat && html`<${Ago} at=${beat} />`],
    ["Lease", beat && html`${span(Date.parse(lease) - Date.parse(beat))}, ends <${Ago} at=${lease} /> unless it is renewed`],
    ["Tasks", isOwn ? tasks : html`${tasks} on all nodes`],
  ];
  return html`<${Panel} title="State"><${Facts} facts=${facts} />
    ${isSilent(node) && html`<p class="text-muted">When its lease ends, its tasks run again on another node; those with <code>on_crash</code> set to <code>fail</code> are abandoned.</p>`}
  <//>`;
}

function Done({ found }) {
  const { submitted, started, retried, released, duplicates, rejected, finished_per_second: perSecond, store } = found;
  const facts = [
    ["Finishes", `${rate(perSecond)} per s, over the last minute`],
    ["Submitted", countOf(submitted, "task")],
    ["Started", countOf(started, "attempt")],
    ["Retried", count(retried)],
    ["Given back", released > 0 && `${countOf(released, "attempt")} cut off by the stop`],
    ["Refused", `${count(duplicates)} with a held name, ${count(rejected)} for lack of room`],
    ["Store", store.durable ? "durable: tasks outlive the process" : "in memory: tasks end with the process"],
    ["Damaged", store.damaged > 0 && `${countOf(store.damaged, "entry", "entries")} set aside or repaired`],
  ];
  return html`<${Panel} title="Since the start"><${Facts} facts=${facts} /><//>`;
}
