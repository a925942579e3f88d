// What a server without any tasks or schedules shows: how to make the first one.

import { BASE } from "../api/client.js";
import { may } from "../api/session.js";
import { Empty, ShellLine } from "../components/basics.js";
import { html } from "../components/html.js";

/**
 * How to make the first thing of a kind, for a reader who may.
 * @param about a sentence before it
 * @param making the verb, as `Adding`
 * @param line what to type in a shell
 */
export function NothingYet({ icon, title, about = "", making, line }) {
  const isAllowed = may("submit");
  const how = isAllowed ? "The first one, from a shell:" : `${making} one needs a token with the scope submit.`;
  return html`<${Empty} icon=${icon} title=${title}><p class="empty__text">${about} ${how}</p>
    ${isAllowed && html`<${ShellLine} text=${line} />`}<//>`;
}

export function NoTasks() {
  const line = `curl ${BASE.href}tasks -H "Content-Type: application/json" \\\n     -d '{"name": "hello", "duration": 2000}'`;
  return html`<${NothingYet} icon="tasks" title="No tasks yet" making="Submitting" line=${line} />`;
}
