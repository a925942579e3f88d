// The limits: their numbers, their slots in use, who holds them, and for which keys tasks wait.

import { hrefOf } from "../app/router.js";
import { Panel, Slots } from "../components/basics.js";
import { count, countOf } from "../components/format.js";
import { html } from "../components/html.js";
import { Holders, limitName } from "./handler_measures.js";

/** The limits of some handlers, each once, with the names of the handlers that it bounds. */
export function limitsOf(handlers) {
  const limits = new Map();
  for (const { name, limits: own } of handlers) {
    for (const limit of own) limits.set(limit.which, { ...limit, handlers: [...(limits.get(limit.which)?.handlers ?? []), name] });
  }
  return [...limits.values()];
}

/**
 * The panel of the limits; nothing if there are none.
 * @param found what `readHandlersAndLimits` returned
 * @param handlers whose limits to show
 */
export function Limits({ found, handlers = found.handlers }) {
  const limits = limitsOf(handlers);
  if (!limits.length) return html`<${Panel} title="Limits"><p class="text-muted">No limit is declared: every handler may use all workers.
    A table such as <code>[limits.api]</code> in the settings bounds how many tasks run at once.</p><//>`;
  const note = found.isAll ? "" : "blocked tasks as far as the first pending tasks tell";
  return html`<${Panel} title="Limits" note=${note} flush>
    <table class="table table--tall">
      <thead><tr>
        <th scope="col">Limit</th><th scope="col" class="table__slots">Slots in use</th><th scope="col" class="table__medium table__holders">Held by</th>
        <th scope="col" class="table__number">Blocked</th>
      </tr></thead>
      <tbody>${limits.map((limit) => html`<${LimitRows} key=${limit.which} limit=${limit} found=${found} />`)}</tbody>
    </table>
  <//>`;
}

function LimitRows({ limit, found }) {
  const { which, concurrency, slots_in_use: used, keys_full: full, handlers } = limit;
  const records = handlers.flatMap((name) => found.running.get(name) ?? []);
  const keys = found.full.filter((each) => each.which === which);
  const byKey = keys.some(({ key }) => key !== undefined);
  const blocked = keys.reduce((sum, each) => sum + each.blocked, 0);
  const isKeyed = byKey || used > concurrency;
  const text = isKeyed ? `${count(used)} in use, ${count(concurrency)} for each value` : `${count(used)} of ${count(concurrency)}`;
  const names = handlers.join(", ");
  return html`<tr>
      <td class="table__name"><span class="truncate" title=${which}>${limitName(which)}</span>
        <span class="text-faint truncate" dir="auto" title=${names}>${names}</span>
        ${!byKey && html`<div class="table__below"><${Holders} records=${records} /></div>`}</td>
      <td class="table__slots table__slots--words">${isKeyed ? text : html`<span class="row row--fixed"><${Slots} used=${used} size=${concurrency} label=${text} /><span>${text}</span></span>`}
        ${full > 0 && isKeyed && html`<div class="text-faint">${countOf(full, "value")} without a free slot</div>`}</td>
      <td class="table__medium table__holders"><${Holders} records=${records} /></td>
      <td class="table__number"><${Blocked} number=${blocked} handlers=${handlers} /></td>
    </tr>
    ${byKey && keys.map((each) => html`<${KeyRow} key=${each.key} full=${each} records=${records} />`)}`;
}

function KeyRow({ full: { key, concurrency, ids = [], blocked }, records }) {
  const text = `${count(ids.length)} of ${count(concurrency)}`;
  const known = ids.map((id) => records.find((record) => record.id === id) ?? { id, name: id });
  return html`<tr class="table__detail">
    <td class="table__name"><span class="limit-key" dir="auto" title=${key}>${key}</span>
      <div class="table__below"><${Holders} records=${known} /></div></td>
    <td class="table__slots"><span class="row row--fixed"><${Slots} used=${ids.length} size=${concurrency} label=${text} /><span>${text}</span></span></td>
    <td class="table__medium table__holders"><${Holders} records=${known} /></td>
    <td class="table__number">${count(blocked)}</td>
  </tr>`;
}

function Blocked({ number, handlers }) {
  if (!number) return "0";
  const href = hrefOf("tasks", null, { state: "pending", handler: handlers.length === 1 ? handlers[0] : null });
  return html`<a href=${href} title="Show the pending tasks">${count(number)}</a>`;
}
