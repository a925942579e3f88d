// What the server is and allows, who the reader is, how the page looks, and where to read on.

import { apiUrl, BASE, get, request } from "../api/client.js";
import { now, serverTime } from "../api/clock.js";
import { statistics } from "../api/server.js";
import { may, session, signOut } from "../api/session.js";
import { useData } from "../app/data.js";
import { Page } from "../app/frame.js";
import { chooseTheme, chosenTheme } from "../app/themes.js";
import { attempt, say } from "../app/toasts.js";
import { Button, Chip, Facts, Panel, Segments, Skeleton } from "../components/basics.js";
import { clockTime, count, countOf, span, zoneText } from "../components/format.js";
import { html, useEffect, useState } from "../components/html.js";
import { Icon } from "../components/icon.js";
import { Confirm } from "../components/overlays.js";

export default function Settings() {
  const found = useData(readDocument, []);
  return html`<${Page} title="Settings">
    <div class="grid-of-two">
      <div class="stack"><${Server} found=${found} /><${Limits} bounds=${found.data} /></div>
      <div class="stack"><${Access} /><${Appearance} /><${Links} /></div>
    </div>
  <//>`;
}

let known; // the server's version and bounds do not change while this page is open

/** The server's version and the most tasks of a list, from the document of the API. */
const readDocument = async () => (known ??= await readBounds());

async function readBounds() {
  const { info, components } = await get("openapi.json");
  return { version: info.version, batch: components.schemas.TaskList?.maxItems };
}

function Server({ found: { data, problem } }) {
  const found = statistics.value;
  const [isAsking, setAsking] = useState(false);
  const facts = [
    ["Version", data?.version ?? (problem ? "unknown" : html`<span class="skeleton skeleton--short"></span>`)],
    ["Address", html`<span class="text-mono">${BASE.href}</span>`],
    ["Phase", found?.phase],
    ["Store", found && (found.store.durable ? "durable: tasks outlive the process" : "in memory: tasks end with the process")],
    ["State", found && (found.store.trouble ?? "takes changes")],
  ];
  const canDrain = may("admin") && found?.phase === "serving";
  return html`<${Panel} title="Server">
    <${Facts} facts=${facts} />
    ${canDrain && html`<div class="row"><${Button} icon="drain" onClick=${() => setAsking(true)}>Drain…<//></div>`}
    ${isAsking && html`<${Drain} found=${found} onClose=${() => setAsking(false)} />`}
  <//>`;
}

/** The question before the stop of the server. */
function Drain({ found: { store }, onClose }) {
  const drain = async () => {
    await request("POST", "drain");
    say("The server is draining");
  };
  const waiting = store.pending + store.scheduled;
  const kept = store.durable ? `${countOf(waiting, "waiting task stays", "waiting tasks stay")} in the store` : `${countOf(waiting, "waiting task is", "waiting tasks are")} lost, because the store is in memory`;
  const running = store.running ? `${countOf(store.running, "running task has", "running tasks have")} until the drain timeout to end, and ${store.running === 1 ? "is" : "are"} cut off then. ` : "";
  return html`<${Confirm} title="Drain this server?" action="Drain the server" keep="Keep it running" act=${drain} onClose=${onClose}>
    <p>The server refuses submits from now on, and its process ends. ${running}${kept}.</p>
    <p>Only starting the server again ends this.</p>
  <//>`;
}

function Limits({ bounds }) {
  const found = statistics.value;
  if (!found) return html`<${Panel} title="Limits"><${Skeleton} rows=${3} /><//>`;
  const { store, pool_size: size } = found;
  const facts = [
    ["Queue", `${countOf(store.queue_size, "task")}, ${count(store.pending + store.scheduled)} of them in use`],
    ["Workers", countOf(size, "task at once", "tasks at once")],
    ["List", bounds?.batch && `${countOf(bounds.batch, "task")} in one submit`],
    ["Records kept", `${countOf(store.history, "finished task")} at present`],
    ["Schedules", count(store.schedules ?? 0)],
  ];
  return html`<${Panel} title="Limits"><${Facts} facts=${facts} />
    <p class="text-muted">They are set in the settings file or by flags.</p><//>`;
}

const SCOPES = [
  ["read", "list and show everything"],
  ["submit", "submit and cancel tasks, and change schedules"],
  ["admin", "pause, resume and drain"],
];

function Access() {
  const { name, scope, isAnonymous } = session.value;
  const permitted = SCOPES.slice(0, SCOPES.findIndex(([each]) => each === scope) + 1).map(([, text]) => text);
  const facts = [
    ["Token", isAnonymous ? "none is configured" : html`<span dir="auto">${name}</span>`],
    ["Scope", html`<${Chip}>${scope}<//>`],
    ["Permits", html`<ul>${permitted.map((text) => html`<li key=${text}>${text}</li>`)}</ul>`],
  ];
  return html`<${Panel} title="Access">
    <${Facts} facts=${facts} />
    ${isAnonymous ? html`<p class="text-muted">Every client on the loopback address has this scope. <code>pexecutor token new</code> makes a token.</p>`
      : html`<div class="row"><${Button} icon="sign-out" onClick=${() => attempt("sign out", signOut)}>Sign out<//></div>`}
  <//>`;
}

const CLOCK_MS_MAX = 5000; // replies tell the server's time in whole seconds
const THEMES = [["system", "As the system"], ["light", "Light"], ["dark", "Dark"]];

function Appearance() {
  const [theme, setTheme] = useState(chosenTheme);
  useEffect(() => {
    const read = () => setTheme(chosenTheme());
    addEventListener("themechange", read);
    return () => removeEventListener("themechange", read);
  }, []);
  const difference = serverTime() - Date.now();
  const facts = [
    ["Time zone", `${zoneText(now.value)}, that of this browser`],
    ["Server’s time", `${clockTime(now.value)}${Math.abs(difference) > CLOCK_MS_MAX ? `; this computer’s clock is ${span(Math.abs(difference))} ${difference > 0 ? "behind" : "ahead"}` : ""}`],
  ];
  return html`<${Panel} title="This page">
    <div><${Segments} label="Theme" options=${THEMES} value=${theme} onChange=${chooseTheme} /></div>
    <${Facts} facts=${facts} />
  <//>`;
}

const LINKS = [
  ["docs", "HTTP API", "every route, with its parameters and replies"],
  ["openapi.json", "OpenAPI document", "the same for programs"],
  ["metrics", "Metrics", "for Prometheus"],
];

const Links = () => html`<${Panel} title="Read on">
  <ul class="links">${LINKS.map(([path, name, text]) => html`<li key=${path}><a class="links__link" href=${apiUrl(path).pathname} target="_blank" rel="noopener"><${Icon} name="right" />${name}</a> <span class="text-muted">${text}</span></li>`)}</ul>
<//>`;
