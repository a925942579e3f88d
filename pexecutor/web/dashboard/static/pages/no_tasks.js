// What a server without any task shows: how to submit the first one.

import { BASE } from "../api/client.js";
import { may } from "../api/session.js";
import { Empty, ShellLine } from "../components/basics.js";
import { html } from "../components/html.js";

export function NoTasks() {
  const line = `curl ${BASE.href}tasks -H "Content-Type: application/json" \\\n     -d '{"name": "hello", "duration": 2000}'`;
  return html`<${Empty} icon="tasks" title="No tasks yet">
    <p class="empty__text">${may("submit") ? "The first one, from a shell:" : "Submitting one needs a token with the scope submit."}</p>
    ${may("submit") && html`<${ShellLine} text=${line} />`}<//>`;
}
