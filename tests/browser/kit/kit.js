// Each component of the dashboard in each of its states.

import {
  Button, ButtonLink, Chip, Copy, Empty, Facts, Name, Panel, Problem, Segments, ShellLine, Skeleton, Slots,
} from "../static/components/basics.js";
import { Chart } from "../static/components/chart.js";
import { Json } from "../static/components/code.js";
import { html, render, useState } from "../static/components/html.js";
import { LifeBar } from "../static/components/life_bar.js";
import { Dialog, Menu, MenuItem } from "../static/components/overlays.js";
import { Status, STATUSES } from "../static/components/status.js";
import { Strip } from "../static/components/strip.js";
import { Ago, Clock, Since } from "../static/components/time.js";
import { Duration, Field, Flag, SchemaFields, Select, Text } from "../static/forms/fields.js";
import { formOf } from "../static/forms/task_form.js";
import { appendLine } from "../static/log/ansi.js";

const NOW = Date.now();
const at = (seconds) => new Date(NOW + seconds * 1000).toISOString();
const nothing = () => {};

const NAMES = [
  "newsletter/batch-0412",
  "web/build-4712 (refs/heads/feature/checkout-redesign-with-a-very-long-branch-name-that-needs-room-and-more-of-it)",
  "تقرير-المبيعات-الشهري-2026-11",
  "🎉 newsletter/launch-de",
  "<script>alert(1)</script>",
];

function States() {
  return html`<${Panel} title="States and outcomes" note="one shape and one word each">
    <div class="row">${STATUSES.map((status) => html`<${Status} status=${status} />`)}</div>
    <div class="row">${STATUSES.map((status) => html`<${Status} status=${status} pill />`)}</div>
    <div class="row">${STATUSES.map((status) => html`<${Status} status=${status} wordless />`)}</div>
  <//>`;
}

function Buttons() {
  const [segment, setSegment] = useState("15m");
  const content = (close) => html`<${MenuItem} icon="again" close=${close} hint="R">Run again<//><${MenuItem} icon="x" close=${close} disabled>Cancel…<//>`;
  return html`<${Panel} title="Buttons">
    <div class="row"><${Button} kind="primary">Submit task<//><${Button} icon="again">Run again<//><${Button} kind="quiet">Save view<//>
      <${Button} kind="decisive">Cancel task<//><${Button} icon="more" label="More" /></div>
    <div class="row"><${Button} small kind="primary">Submit task<//><${Button} small>Run again<//><${Button} small disabled>Run again<//>
      <${Button} small busy icon="again">Submitting<//><${Button} small aria-pressed="true" icon="follow">Follow<//><${ButtonLink} href="#main">Show<//></div>
    <div class="row"><${Segments} label="Range" options=${[["15m", "15 min"], ["24h", "24 h"]]} value=${segment} onChange=${setSegment} />
      <${Menu} text="Outcome" content=${content} /><${Menu} text="Handler" pressed content=${content} /><${Copy} text="a3f0" label="Copy the id" /></div>
    <div class="row"><${Chip} title="tag">team:web<//><span class="chip chip--filter"><span class="chip__text">Outcome <strong>failed</strong></span></span></div>
  <//>`;
}

const SCHEMA = {
  type: "object",
  required: ["path", "size"],
  properties: {
    path: { type: "string", description: "where the picture is" },
    quality: { type: "integer", minimum: 1, maximum: 100, default: 80 },
    kind: { enum: ["jpeg", "webp"], default: "jpeg" },
    tags: { anyOf: [{ type: "array", items: { type: "string" } }, { type: "null" }] },
    either: { anyOf: [{ type: "integer" }, { type: "string" }] },
    keep: { type: "boolean", default: true },
    more: { type: "object" },
    size: { $ref: "#/$defs/Size" },
  },
  $defs: { Size: { type: "object", required: ["width"], properties: { width: { type: "integer" }, height: { type: "integer" } } } },
};

function Inputs() {
  const [values, setValues] = useState(() => formOf({ name: "resize", params: SCHEMA }).params);
  const [duration, setDuration] = useState({ number: "90", unit: "s" });
  return html`<${Panel} title="Inputs">
    <div class="field-row">
      <${Field} label="Name" input=${(attributes) => html`<${Text} ...${attributes} value=${NAMES[2]} onInput=${nothing} />`} />
      <${Field} label="Duration" isOptional hint="0 to 7 days" input=${(attributes) => html`<${Duration} ...${attributes} label="Duration" value=${duration} onInput=${setDuration} />`} />
      <${Field} label="Priority" fault="Write 100 or less." input=${(attributes) => html`<${Text} ...${attributes} value="400" onInput=${nothing} />`} />
      <${Field} label="Handler" input=${(attributes) => html`<${Select} ...${attributes} options=${[["a", "encode_video"], ["b", "etl"]]} value="a" onChange=${nothing} />`} />
      <${Field} label="Version" input=${(attributes) => html`<${Text} ...${attributes} disabled value="2.4.0" onInput=${nothing} />`} />
      <${Flag} name="Atomic" hint="all or none" value=${true} onInput=${nothing} />
    </div>
    <${SchemaFields} schema=${SCHEMA} values=${values} faults=${{ "params.path": "This is required." }} onInput=${setValues} />
    <${Problem}>The queue is full: try again later.<//>
  <//>`;
}

function Measures() {
  const times = Array.from({ length: 60 }, (_, index) => NOW / 1000 - 900 + index * 15);
  const waves = times.map((_, index) => 4 + 2 * Math.sin(index / 6));
  const gaps = waves.map((value, index) => (index % 20 > 15 ? null : value));
  return html`<${Panel} title="Measures">
    <div class="grid-of-two">
      <${Chart} label="Waiting tasks" times=${times} write=${(index) => `${waves[index].toFixed(1)} wait`}
        series=${[{ kind: "area", values: waves }, { kind: "bound", values: times.map(() => 7) }]} />
      <${Chart} label="Finished tasks" times=${times} write=${(index) => `${waves[index].toFixed(1)} per s`}
        series=${[{ kind: "failure-bars", values: waves.map((each, index) => (index === 9 ? each + 0.7 : null)) }, { kind: "late-bars", values: waves.map((each, index) => (index === 30 ? each + 0.7 : null)) }, { kind: "bars", values: waves }]} />
      <${Chart} label="Run time" times=${times} logarithmic write=${(index) => `${gaps[index]} s`}
        series=${[{ kind: "thin", values: gaps.map((each) => each && each * 40) }, { kind: "line", values: gaps }]} />
      <${Chart} label="Nothing" times=${[]} series=${[{ kind: "line", values: [] }]} write=${nothing} />
    </div>
    <div class="row"><${Slots} used=${5} size=${8} label="5 of 8 slots" /><${Slots} used=${4} size=${8} late=${2} label="4 of 8 workers, two silent" />
      <${Slots} used=${0} size=${4} label="no slot of 4" /></div>
    <${Slots} used=${80} size=${100} label="80 of 100 slots" />
    <progress class="progress" value="33" max="200" aria-label="33 of 200"></progress>
    <progress class="progress progress--estimated" value="66" max="100" aria-label="of about 3 min"></progress>
    <progress class="progress progress--late" value="1" max="1" aria-label="usually 6 min"></progress>
    <${Strip} outcomes=${["succeeded", "failed", "succeeded", "timed-out", "cancelled", "abandoned", "none", "succeeded"]} kind="full" />
  <//>`;
}

const attempt = (from, to, outcome) => ({ started_at: at(from), ended_at: at(to), outcome, error: outcome === "succeeded" ? undefined : "exit code 1" });

const LIVES = [
  ["waiting", { state: "pending", attempts: [], submitted_at: at(-600) }],
  ["running", { state: "running", attempts: [attempt(-400, -240, "failed")], submitted_at: at(-440), started_at: at(-180) }, NOW + 120_000],
  ["succeeded at the second attempt", { state: "finished", attempts: [attempt(-400, -300, "failed"), attempt(-240, -60, "succeeded")], submitted_at: at(-440), finished_at: at(-60), outcome: "succeeded" }],
  ["failed after three attempts", { state: "finished", attempts: [attempt(-400, -300, "failed"), attempt(-240, -200, "timed_out"), attempt(-150, -60, "failed")], submitted_at: at(-440), finished_at: at(-60), outcome: "failed" }],
  ["timed out", { state: "finished", attempts: [attempt(-400, -10, "timed_out")], submitted_at: at(-440), finished_at: at(-10), outcome: "timed_out" }],
  ["cancelled while it waited", { state: "finished", attempts: [], submitted_at: at(-440), finished_at: at(-10), outcome: "cancelled" }],
  ["many retries", { state: "running", attempts: Array.from({ length: 40 }, (_, index) => attempt(-4000 + index * 90, -3950 + index * 90, "failed")), submitted_at: at(-4040), started_at: at(-60) }],
];

function Lives() {
  return html`<${Panel} title="Lives">${LIVES.map(([name, record, likelyEnd]) => html`<h3>${name}</h3>
    <${LifeBar} record=${{ started_at: undefined, ...record }} now=${NOW} likelyEnd=${likelyEnd} />`)}<//>`;
}

const LINES = [
  "\u001b[1;34m==>\u001b[0m \u001b[1mcloning\u001b[0m \u001b[2m(4f1c2ab)\u001b[0m",
  "\u001b[31mred\u001b[0m \u001b[32mgreen\u001b[0m \u001b[33myellow\u001b[0m \u001b[34mblue\u001b[0m \u001b[35mmagenta\u001b[0m \u001b[36mcyan\u001b[0m \u001b[37mwhite\u001b[0m \u001b[30mblack\u001b[0m",
  "\u001b[91mbright\u001b[0m \u001b[3mitalic\u001b[0m \u001b[4munderline\u001b[0m \u001b[9mstrike\u001b[0m \u001b[41mground\u001b[0m",
  "\u001b[38;5;208mpalette\u001b[0m \u001b[38;2;20;120;200mtrue colour\u001b[0m <b>no markup</b> &amp;",
  "10 %\r50 %\r100 % done",
];

function Log() {
  const draw = (element) => {
    element?.replaceChildren(...LINES.map((line, index) => {
      const row = document.createElement("div");
      row.className = index === 2 ? "log__line log__line--error" : "log__line";
      const [time, text] = [document.createElement("span"), document.createElement("span")];
      [time.className, time.textContent, text.className] = ["log__time", `${index}.0 s`, "log__text"];
      appendLine(text, line, "done");
      row.append(time, text);
      return row;
    }));
  };
  return html`<section class="panel log" aria-label="Log"><div class="log__lines log__lines--ended" tabindex="0" role="log" aria-label="Output" ref=${draw}></div></section>`;
}

function Table() {
  return html`<${Panel} title="Table rows" flush><table class="table">
    <thead><tr><th scope="col" class="table__status">Status</th><th scope="col" class="table__name">Name</th><th scope="col" class="table__medium">Error</th><th scope="col" class="table__number">Changed</th></tr></thead>
    <tbody>${NAMES.map((name, index) => html`<tr key=${name} aria-selected=${String(index === 1)}>
      <td class="table__status"><${Status} status=${["succeeded", "failed", "running", "timed-out", "blocked"][index]} /></td>
      <td class="table__name"><${Name} name=${name} href="#main" /></td>
      <td class=${`table__note table__medium${index === 1 ? " table__note--failure" : ""}`} data-role=${index === 1 ? "failure" : undefined} title="exit code 1">${index === 1 && "exit code 1"}</td>
      <td class="table__number"><${Ago} at=${at(-60 * index)} /></td></tr>`)}</tbody>
  </table><//>`;
}

function Rest() {
  const facts = [["Submitted", html`<${Ago} at=${at(-200)} />`], ["At", html`<${Clock} at=${at(-200)} />`], ["For", html`<${Since} at=${at(-200)} />`], ["Due", html`<${Ago} at=${at(4000)} />`], ["Absent", undefined]];
  return html`<${Panel} title="Facts"><${Facts} facts=${facts} /><//>
    <${Panel} title="Params" flush><${Json} value=${{ repo: "web", steps: ["lint", "test"], nested: { "a \"b\"": 1 } }} label="Params" /><//>
    <section class="panel" aria-label="Nothing yet"><${Empty} icon="tasks" title="No tasks yet"><p class="empty__text">The first one, from a shell:</p><${ShellLine} text="curl 127.0.0.1:8080/tasks" /><//></section>
    <section class="panel" aria-label="Loading"><${Skeleton} rows=${4} /></section>`;
}

function Kit() {
  const [isOpen, setOpen] = useState(location.search === "?dialog");
  const foot = html`<${Button} onClick=${() => setOpen(false)}>Keep them<//><${Button} kind="decisive">Cancel 4,213 tasks<//>`;
  return html`<h1>Kit</h1><div class="grid-of-two"><div class="stack"><${States} /><${Buttons} /><${Measures} /><${Log} /><${Table} /></div>
    <div class="stack"><${Inputs} /><${Lives} /><${Rest} /></div></div>
    ${isOpen && html`<${Dialog} title="Cancel these tasks?" onClose=${() => setOpen(false)} foot=${foot}><p>This concerns 4,213 tasks.</p><//>`}`;
}

render(html`<${Kit} />`, document.getElementById("main"));
