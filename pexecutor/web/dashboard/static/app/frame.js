// The frame of a page: its title in the topbar, what can be done there, and its content.

import { may } from "../api/session.js";
import { Button } from "../components/basics.js";
import { html, useLayoutEffect } from "../components/html.js";
import { openNewTask } from "../forms/new_task.js";
import { Banner } from "./banner.js";

/**
 * A page.
 * @param title its name, also in the browser's tab
 * @param crumbs what stands before the title: pairs of a name and an address
 * @param tools what stands in the topbar beside "New task"
 */
export function Page({ title, crumbs = [], tools, children }) {
  useLayoutEffect(() => {
    document.title = `${title} · pexecutor`;
  }, [title]);
  return html`<div class="page">
    <header class="topbar">
      <div class="topbar__title">
        ${crumbs.map(([name, href]) => html`<a class="topbar__crumb" href=${href}>${name}</a><span class="topbar__separator" aria-hidden="true">/</span>`)}
        <h1 class=${crumbs.length ? "topbar__id" : ""} dir="auto" title=${title}>${title}</h1>
      </div>
      ${tools}
      ${may("submit") && html`<${Button} kind="primary" icon="plus" class="topbar__new" onClick=${() => openNewTask()}>
        <span class="topbar__text">New task</span><//>`}
    </header>
    <${Banner} />
    <main class="main" id="main" tabindex="-1">${children}</main>
  </div>`;
}
