// The overview: what needs attention first, then the pool, the queue, throughput and latency.

import { statistics } from "../api/server.js";
import { Page } from "../app/frame.js";
import { query, setQuery } from "../app/router.js";
import { Segments } from "../components/basics.js";
import { html } from "../components/html.js";
import { Attention } from "./overview_attention.js";
import { Charts } from "./overview_charts.js";
import { Finished, NextOccurrences, Nodes, RunningTasks } from "./overview_lists.js";

const RANGES = [["15m", "15 min"], ["24h", "24 h"]];

export default function Overview() {
  const range = query.value.get("range") ?? "15m";
  const setRange = (value) => setQuery({ range: value === "15m" ? null : value });
  const tools = html`<${Segments} label="Range of the charts" options=${RANGES} value=${range} onChange=${setRange} />`;
  const isEmpty = statistics.value && statistics.value.store.history + statistics.value.submitted === 0;
  return html`<${Page} title="Overview" tools=${tools}>
    <${Attention} isEmpty=${isEmpty} />
    <${Charts} range=${range} />
    <div class="split">
      <div class="stack"><${RunningTasks} /><${Finished} /></div>
      <div class="stack"><${NextOccurrences} /><${Nodes} /></div>
    </div>
  <//>`;
}
