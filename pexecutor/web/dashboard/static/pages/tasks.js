// The list of tasks, with all filters of the API, selection and bulk actions.

import { now } from "../api/clock.js";
import { pauses, readHandlers, statistics } from "../api/server.js";
import { may } from "../api/session.js";
import { Page } from "../app/frame.js";
import { hrefOf, query, setQuery } from "../app/router.js";
import { Button, Empty, Problem, Skeleton } from "../components/basics.js";
import { count, countOf, words, zoneText } from "../components/format.js";
import { html, useEffect, useMemo, useRef, useState } from "../components/html.js";
import { Menu } from "../components/overlays.js";
import { Field, Text } from "../forms/fields.js";
import { NoTasks } from "./nothing_yet.js";
import { BulkBar } from "./tasks_bulk.js";
import { clearFilters, filtersOf, savedViews, saveViews, STATES } from "./tasks_filters.js";
import { TaskList } from "./tasks_list.js";
import { TaskTable } from "./tasks_table.js";
import { Toolbar } from "./tasks_toolbar.js";

const REFRESH_PAUSE_MS = 2000;
const ROWS_REFRESHED_MAX = 200;

export default function Tasks() {
  const search = query.value.toString();
  const filters = useMemo(() => filtersOf(query.value), [search]);
  const list = useMemo(() => new TaskList(filters), [search]);
  const [selected, setSelected] = useState(new Set());
  useEffect(() => {
    setSelected(new Set());
    return () => list.close();
  }, [list]);
  useEffect(() => void readHandlers().catch(() => {}), []);
  const panel = useRef();
  useAutoRefresh(list, panel, selected);
  return html`<${Page} title="Tasks">
    <${Views} />
    <${Toolbar} filters=${filters} />
    <section class="panel" aria-label="Tasks" ref=${panel}>
      <${Content} list=${list} filters=${filters} selected=${selected} setSelected=${setSelected} />
    </section>
    ${may("submit") && selected.size > 0 && html`<${BulkBar} list=${list} filters=${filters} selected=${selected} clear=${() => setSelected(new Set())} />`}
  <//>`;
}

/** Show changes by themselves, as long as that moves nothing under the reader's pointer, focus or selection. */
function useAutoRefresh(list, panel, selected) {
  useEffect(() => {
    const timer = setInterval(() => {
      const isUsed = panel.current.matches(":hover") || panel.current.contains(document.activeElement) || selected.size > 0;
      const isAtBegin = scrollY < 200 && list.rows.peek().length <= ROWS_REFRESHED_MAX;
      if (list.changes.peek() && !document.hidden && !isUsed && isAtBegin) list.refresh();
    }, REFRESH_PAUSE_MS);
    return () => clearInterval(timer);
  }, [list, selected.size]);
}

function Views() {
  const [views, setViews] = useState(savedViews);
  const { store } = statistics.value ?? {};
  const numbers = store ? { running: store.running, pending: store.pending, scheduled: store.scheduled, finished: store.history } : {};
  const all = store && store.running + store.pending + store.scheduled + store.history;
  const state = query.value.get("state");
  const isSaved = views.some((view) => view.query === query.value.toString());
  const save = (name) => {
    const saved = [...views.filter((view) => view.name !== name), { name, query: query.value.toString() }];
    saveViews(saved);
    setViews(saved);
  };
  const remove = (name) => {
    const left = views.filter((view) => view.name !== name);
    saveViews(left);
    setViews(left);
  };
  const tab = (value, text, number) => html`<a class="tabs__tab" key=${text} href=${hrefOf("tasks", null, { state: value })}
    aria-current=${!isSaved && state === value ? "true" : undefined}>${text}${number !== undefined && html`<span class="tabs__count">${count(number)}</span>`}</a>`;
  return html`<div class="views"><nav class="tabs" aria-label="Views">
    ${tab(null, "All", all)}
    ${STATES.map((each) => tab(each, words(each[0].toUpperCase() + each.slice(1)), numbers[each]))}
    ${views.map((view) => html`<span class="tabs__own" key=${view.name}><a class="tabs__tab" href=${`${hrefOf("tasks")}?${view.query}`} aria-current=${view.query === query.value.toString() ? "true" : undefined}>${view.name}</a>
      <${Button} kind="quiet" small icon="x" label=${`Forget the view ${view.name}`} onClick=${() => remove(view.name)} /></span>`)}
  </nav>
  ${query.value.size > 0 && !isSaved && html`<${Menu} kind="quiet" icon="bookmark" text="Save view" class="not-on-phone"
    content=${(close) => html`<${SaveView} save=${save} close=${close} />`} />`}</div>`;
}

/** The name under which the filters of the address are kept in this browser. */
function SaveView({ save, close }) {
  const [name, setName] = useState("");
  const submit = (event) => {
    event.preventDefault();
    if (name.trim()) save(name.trim());
    close();
  };
  return html`<form class="menu__form" onSubmit=${submit}>
    <${Field} label="Name of the view" hint="kept in this browser" input=${(attributes) => html`<${Text} ...${attributes} value=${name} onInput=${setName} />`} />
    <${Button} type="submit" small>Save the view<//>
  </form>`;
}

function Content({ list, filters, selected, setSelected }) {
  const rows = list.rows.value;
  const state = list.state.value;
  const problem = list.problem.value;
  if (!rows.length && state === "reading") return html`<${Skeleton} rows=${10} />`;
  if (!rows.length && problem) return html`<${Empty} icon="warn" title="The tasks could not be read"><p class="empty__text">${problem.message}</p>
    <${Button} onClick=${() => list.refresh()}>Try again<//><//>`;
  if (!rows.length && state === "complete") return html`<${Nothing} filters=${filters} />`;
  return html`<${TaskTable} rows=${rows} pauses=${pauses.value} selected=${selected} setSelected=${setSelected} />
    <${Sentinel} key=${rows.length} list=${list} />
    <${Foot} list=${list} />`;
}

/** Below the last row: when it comes near the window, the next page is read. */
function Sentinel({ list }) {
  const element = useRef();
  useEffect(() => {
    const observer = new IntersectionObserver(([entry]) => entry.isIntersecting && list.more(), { rootMargin: "600px" });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [list]);
  return html`<div ref=${element} class="sentinel"></div>`;
}

const MORE = { partial: "more as you scroll", complete: "all that match", full: "narrow the filters to see others", reading: "reading", failed: "" };

function Foot({ list }) {
  const changes = list.changes.value;
  const problem = list.problem.value;
  return html`<div class="panel__foot">
    <span>${countOf(list.rows.value.length, "task")}, ${MORE[list.state.value]}</span>
    ${problem && html`<${Problem}>${problem.message}<//>`}
    ${changes > 0 && html`<${Button} small icon="again" onClick=${() => list.refresh()}>Show ${countOf(changes, "change")}<//>`}
    <span>Times in ${zoneText(now.peek())}</span>
  </div>`;
}

function Nothing({ filters }) {
  const isFiltered = Object.keys(filters).length > 0;
  if (isFiltered) {
    const others = Object.keys(filters).some((name) => name !== "state");
    const text = others ? "No task meets all of these filters." : `No task is ${filters.state} at present.`;
    return html`<${Empty} icon="filter" title="Nothing matches"><p class="empty__text">${text}</p>
      ${others ? html`<${Button} onClick=${clearFilters}>Clear the filters<//>` : html`<${Button} onClick=${() => setQuery({ state: null })}>Show all tasks<//>`}<//>`;
  }
  return html`<${NoTasks} />`;
}
