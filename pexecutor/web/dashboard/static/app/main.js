// The dashboard: shows the page that the address names, in the shell, to a reader who may read.

import { connect, disconnect } from "../api/live.js";
import { watchServer } from "../api/server.js";
import { readSession, session } from "../api/session.js";
import { Empty, Skeleton } from "../components/basics.js";
import { effect, html, render, signal, useEffect } from "../components/html.js";
import { NewTask } from "../forms/new_task.js";
import { Page } from "./frame.js";
import { pageOf } from "./pages.js";
import { hrefOf, route } from "./router.js";
import { Shell } from "./shell.js";
import { Forbidden, SignIn, Unreachable } from "./sign_in.js";
import { watchVersion } from "./version.js";

const RETRY_MS = 3000;

const FULL_PAGES = { "signed-out": SignIn, forbidden: Forbidden, unreachable: Unreachable };

function App() {
  const { state } = session.value;
  const FullPage = FULL_PAGES[state];
  if (FullPage) return html`<${FullPage} />`;
  if (state === "unknown") return html`<main class="full-page" id="main" aria-busy="true"></main>`;
  return html`<${Shell}><${Content} key=${`${route.value.page} ${route.value.item ?? ""}`} ...${route.value} /><//><${NewTask} />`;
}

const views = new Map();

/** The page that the address names, once its module is loaded. */
function Content({ page, item }) {
  const row = pageOf(page);
  const load = item ? row?.item : row?.load;
  const view = views.get(load);
  useEffect(() => {
    scrollTo(0, 0);
    if (load && !view?.value?.View) read(load);
  }, []);
  if (!load) return html`<${NotFound} />`;
  const { View, problem } = viewOf(load).value;
  if (problem) return html`<${Page} title=${row.name}><${Empty} icon="warn" title="This page could not be loaded">
    <p class="empty__text">${problem} Load the page again.</p><//><//>`;
  if (!View) return html`<${Page} title=${row.name}><section class="panel"><${Skeleton} rows=${8} /></section><//>`;
  return html`<${View} item=${item} />`;
}

function viewOf(load) {
  if (!views.has(load)) views.set(load, signal({}));
  return views.get(load);
}

async function read(load) {
  const view = viewOf(load);
  try {
    view.value = { View: (await load()).default };
  } catch (error) {
    view.value = { problem: error.message };
  }
}

function NotFound() {
  return html`<${Page} title="Not found">
    <section class="panel"><${Empty} icon="search" title="There is no such page">
      <p class="empty__text"><a href=${hrefOf("")}>Go to the overview</a></p><//></section>
  <//>`;
}

let isWatching = false;

effect(() => {
  const { state } = session.value;
  if (state === "signed-in") {
    connect();
    if (!isWatching) watchServer();
    isWatching = true;
  } else disconnect();
});

setInterval(() => session.value.state === "unreachable" && readSession(), RETRY_MS);
// The page's address changes, and with it what a relative address means.
for (const icon of document.querySelectorAll("link[rel=icon]")) icon.setAttribute("href", icon.href);
watchVersion();
readSession();
render(html`<${App} />`, document.getElementById("app"));
