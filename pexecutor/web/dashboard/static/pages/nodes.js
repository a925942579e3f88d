// The nodes: the processes that share the store, or the one server.

import { get } from "../api/client.js";
import { statistics } from "../api/server.js";
import { useData } from "../app/data.js";
import { Page } from "../app/frame.js";
import { hrefOf } from "../app/router.js";
import { Button, Empty, Name, Panel, Skeleton } from "../components/basics.js";
import { count } from "../components/format.js";
import { html } from "../components/html.js";
import { Ago } from "../components/time.js";
import { isSilent, NodeState, noteOf, ownNode, THIS_SERVER, Workers } from "./node_states.js";

/** The nodes by name; without a shared store, this server alone. */
export const readNodes = () => get("nodes");

export default function Nodes() {
  const { data, problem, again } = useData(readNodes, [], { everyMs: 3000 });
  const own = statistics.value;
  if (!data && problem) return html`<${Page} title="Nodes"><section class="panel"><${Empty} icon="warn" title="The nodes could not be read">
    <p class="empty__text">${problem.message}</p><${Button} onClick=${again}>Try again<//><//></section><//>`;
  if (!data || (!data.length && !own)) return html`<${Page} title="Nodes"><section class="panel"><${Skeleton} rows=${4} /></section><//>`;
  const nodes = data.length ? data : [ownNode(own)];
  const workers = nodes.reduce((sum, { pool_size: size }) => sum + size, 0);
  const taking = nodes.filter((node) => !node.draining && !isSilent(node)).length;
  const note = data.length ? `${taking} of ${count(data.length)} take tasks, ${count(workers)} workers in all` : "";
  return html`<${Page} title="Nodes">
    <${Panel} title=${data.length ? "Nodes" : "One server"} note=${note} flush>
      <${Table} nodes=${nodes} isShared=${data.length > 0} />
      ${!data.length && html`<div class="panel__foot"><span>The store is not shared, so this server is the only node.</span></div>`}
    <//>
  <//>`;
}

function Table({ nodes, isShared }) {
  return html`<table class="table">
    <thead><tr>
      <th scope="col" class="table__status">State</th>
      <th scope="col">Node</th>
      <th scope="col" class="table__slots">Workers busy</th>
      <th scope="col" class="table__medium">Note</th>
      <th scope="col" class=${`table__number${isShared ? "" : " table__medium"}`}>${isShared ? "Heard of" : "Phase"}</th>
    </tr></thead>
    <tbody>${nodes.map((node) => html`<${Row} key=${node.name} node=${node} />`)}</tbody>
  </table>`;
}

function Row({ node }) {
  const { name, beat_at: beat, phase } = node;
  const note = noteOf(node);
  const tone = isSilent(node) ? " table__note--late" : "";
  return html`<tr>
    <td class="table__status"><${NodeState} node=${node} /></td>
    <td class="table__name"><${Name} name=${name === THIS_SERVER ? location.host : name} href=${hrefOf("nodes", name)} />
      ${note && html`<div class=${`table__below${tone}`} title=${note}>${note}</div>`}</td>
    <td class="table__slots"><${Workers} node=${node} /></td>
    <td class=${`table__note table__medium${tone}`} title=${note}>${note}</td>
    <td class=${`table__number${beat ? "" : " table__medium"}`}>${beat ? html`<${Ago} at=${beat} />` : phase}</td>
  </tr>`;
}
