// What the outcomes and the slots of a handler amount to, in words and marks.

import { hrefOf } from "../app/router.js";
import { Name, Slots } from "../components/basics.js";
import { count, countOf, span, words } from "../components/format.js";
import { html } from "../components/html.js";
import { Status } from "../components/status.js";
import { ownPause } from "./handler_actions.js";

const HOLDERS_MAX = 3;
const percents = new Intl.NumberFormat("en", { style: "percent", maximumSignificantDigits: 3 });

/** How many of the ended tasks succeeded: `percent` as a text and the counts in words. Cancelled tasks do not count. */
export function successOf({ outcomes }) {
  const { cancelled = 0, succeeded = 0, ...bad } = outcomes;
  const ended = Object.values(bad).reduce((sum, each) => sum + each, succeeded);
  const counts = Object.entries({ succeeded, ...bad, cancelled }).filter(([, number]) => number);
  const title = counts.map(([outcome, number]) => `${count(number)} ${words(outcome)}`).join(", ") || "no task has ended yet";
  if (!ended) return { percent: "–", title };
  const text = percents.format(succeeded / ended);
  return { percent: text === "100%" && succeeded < ended ? "> 99.9 %" : text.replace("%", " %"), title };
}

/** A percentile of the run time in words. */
export const runTime = ({ run_seconds: times }, name) => (times ? span(times[name] * 1000) : "–");

/** The name of a limit as people read it: `accounting`, or `handler encode` for the own one of a handler. */
export const limitName = (which) => (which.startsWith("limits.") ? which.slice(7) : `handler ${which.slice(9)}`);

/**
 * The slots that a handler uses: of its own limit, of the fullest other one, or without a limit.
 * @param running its running tasks
 */
export function HandlerSlots({ handler, running }) {
  const paused = ownPause(handler);
  if (paused) return html`<span class="row"><${Status} status="paused" />${running > 0 && html`<span class="text-muted">${countOf(running, "runs on", "run on")}</span>`}</span>`;
  const limit = handler.limits.find(({ which }) => which === `handlers.${handler.name}`) ?? handler.limits.find(({ keys_full: full }) => full) ?? handler.limits[0];
  if (!limit) return html`<span class="text-muted">${count(running)}, no limit</span>`;
  const isOwn = which(limit) === handler.name;
  const text = isOwn ? `${count(limit.slots_in_use)} of ${count(limit.concurrency)}` : `${count(running)}, limit ${limitName(limit.which)}`;
  return html`<span class="row row--fixed">${isOwn && html`<${Slots} used=${limit.slots_in_use} size=${limit.concurrency} label=${text} />`}<span class=${isOwn ? "" : "text-muted"}>${text}</span></span>`;
}

const which = ({ which: table }) => table.replace(/^handlers\./, "");

/** The names of tasks that use slots, as links; of many, the first ones. */
export function Holders({ records }) {
  if (!records.length) return html`<span class="text-faint">no task</span>`;
  const rest = records.length - HOLDERS_MAX;
  const title = records.slice(0, 20).map(({ name }) => name).join("\n");
  return html`<ul class="holders" title=${title}>
    ${records.slice(0, HOLDERS_MAX).map(({ id, name }) => html`<li class="holders__item" key=${id}><${Name} name=${name} href=${hrefOf("tasks", id)} /></li>`)}
    ${rest > 0 && html`<li class="text-faint">and ${count(rest)} more</li>`}
  </ul>`;
}
