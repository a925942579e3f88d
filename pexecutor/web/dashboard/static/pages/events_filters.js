// The filters of the events: what the address says, which events meet them, and the inputs.

import { setQuery } from "../app/router.js";
import { Button } from "../components/basics.js";
import { words } from "../components/format.js";
import { html, useEffect, useRef, useState } from "../components/html.js";
import { Icon } from "../components/icon.js";
import { Select } from "../forms/fields.js";
import { isOfKind, KINDS } from "./events_words.js";
import { OUTCOMES, STATES } from "./tasks_filters.js";

const TYPING_MS = 300;
const NAMES = ["kind", "state", "handler", "name"];

/** The filters in an address; without the empty ones. `state` is a state or an outcome, `name` a part of a name. */
export const filtersOf = (query) => Object.fromEntries(NAMES.map((name) => [name, query.get(name)]).filter(([, value]) => value));

/** A function that tells whether an event meets filters. */
export function meetsFilters({ kind, state, handler, name }) {
  const part = name?.toLowerCase();
  const asksForTasks = Boolean(state || handler || part);
  return (event) => {
    const { data } = event;
    if (event.kind === "drain") return true;
    if (!isOfKind(event.kind, kind)) return false;
    if (!asksForTasks) return true;
    return (
      (!state || data.state === state || data.outcome === state) &&
      (!handler || data.handler === handler) &&
      (!part || (data.name ?? data.schedule ?? "").toLowerCase().includes(part))
    );
  };
}

/** The inputs. */
export function EventFilters({ filters, handlers }) {
  const choose = (name) => (value) => setQuery({ [name]: value || null });
  const { kind = "", state = "", handler = "", name = "" } = filters;
  const names = handler && !handlers.includes(handler) ? [handler, ...handlers] : handlers;
  return html`<${Search} value=${name} />
    <${Select} aria-label="Kind" class="input toolbar__select" options=${[["", "All but progress"], ...KINDS]} value=${kind} onChange=${choose("kind")} />
    <${Select} aria-label="State or outcome" class="input toolbar__select" options=${[["", "Any state"], ...[...STATES.filter((each) => each !== "finished"), ...OUTCOMES].map((each) => [each, words(each)])]}
      value=${state} onChange=${choose("state")} />
    <${Select} aria-label="Handler" class="input toolbar__select" options=${[["", "Any handler"], ...names.map((each) => [each, each])]} value=${handler} onChange=${choose("handler")} />
    ${Object.keys(filters).length > 0 && html`<${Button} kind="quiet" icon="x" onClick=${() => setQuery({ kind: null, state: null, handler: null, name: null })}>Clear<//>`}`;
}

function Search({ value }) {
  const [text, setText] = useState(value);
  const timer = useRef();
  useEffect(() => setText(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const onInput = (event) => {
    setText(event.target.value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setQuery({ name: event.target.value || null }, { replace: true }), TYPING_MS);
  };
  return html`<label class="input-with-icon toolbar__search toolbar__search--whole">
    <span class="visually-hidden">Name contains</span><${Icon} name="search" />
    <input class="input" type="search" placeholder="Name contains" value=${text} onInput=${onInput} />
  </label>`;
}
