// The filters above the list of tasks: a search, a menu for each criterion, and a chip for each filter that applies.

import { serverTime } from "../api/clock.js";
import { handlers } from "../api/server.js";
import { Button } from "../components/basics.js";
import { countOf, words, zone } from "../components/format.js";
import { html, useEffect, useRef, useState } from "../components/html.js";
import { Icon } from "../components/icon.js";
import { Dialog, Menu } from "../components/overlays.js";
import { Field, Text } from "../forms/fields.js";
import { chipsOf, clearFilters, OUTCOMES, removeChip, setFilters } from "./tasks_filters.js";

const TYPING_MS = 300;
const SEARCHED_MIN = 9;

/** The toolbar. On a phone, all filters are in one dialog. */
export function Toolbar({ filters }) {
  const [isOpen, setOpen] = useState(false);
  const chips = chipsOf(filters);
  return html`<div class="toolbar" role="search">
    <${Search} value=${filters.name_prefix ?? ""} />
    <${Button} icon="filter" class="toolbar__all" onClick=${() => setOpen(true)}>${chips.length ? countOf(chips.length, "filter") : "Filters"}<//>
    <div class="toolbar__filters">
      <${Menu} text="Outcome" pressed=${filters.outcome} content=${(close) => html`<${Outcomes} value=${filters.outcome} close=${close} />`} />
      <${Menu} text="Handler" pressed=${filters.handler} content=${(close) => html`<${Handlers} value=${filters.handler} close=${close} />`} />
      <${Menu} text="Tag" pressed=${filters.tag} content=${(close) => html`<${Tag} tags=${filters.tag ?? []} close=${close} />`} />
      <${Menu} text="Error" pressed=${filters.error} content=${(close) => html`<${ErrorText} value=${filters.error} close=${close} />`} />
      <${Menu} text="Submitted" pressed=${filters.since || filters.until} content=${(close) => html`<${Submitted} filters=${filters} close=${close} />`} />
      <${Menu} text="Finished" pressed=${filters.finished_since} content=${(close) => html`<${FinishedSince} filters=${filters} close=${close} />`} />
    </div>
    ${chips.map((chip) => html`<${FilterChip} key=${`${chip.name} ${chip.value}`} chip=${chip} />`)}
    ${chips.length > 1 && html`<${Button} kind="quiet" onClick=${clearFilters}>Clear all<//>`}
    ${isOpen && html`<${AllFilters} filters=${filters} onClose=${() => setOpen(false)} />`}
  </div>`;
}

function FilterChip({ chip }) {
  const { label, text } = chip;
  return html`<span class="chip chip--filter" title=${`${label} ${text}`}><span class="chip__text" dir="auto">${label} <strong>${text}</strong></span>
    <button class="chip__remove" type="button" aria-label=${`Remove the filter: ${label} ${text}`} onClick=${() => removeChip(chip)}><${Icon} name="x" /></button></span>`;
}

function Search({ value }) {
  const [text, setText] = useState(value);
  const timer = useRef();
  useEffect(() => setText(value), [value]);
  const onInput = (event) => {
    setText(event.target.value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setFilters({ name_prefix: event.target.value || null }, { replace: true }), TYPING_MS);
  };
  return html`<label class="input-with-icon toolbar__search">
    <span class="visually-hidden">Name begins with</span><${Icon} name="search" />
    <input class="input" type="search" placeholder="Name begins with" value=${text} onInput=${onInput} />
  </label>`;
}

/** A list of which one can be chosen; the chosen one is chosen off again. */
function Choices({ name, values, value, write = (text) => text, close }) {
  const choose = (each) => {
    setFilters({ [name]: each === value ? null : each });
    close?.();
  };
  return values.map((each) => html`<button type="button" class="menu__item" key=${each} aria-pressed=${String(each === value)} onClick=${() => choose(each)}>
    <span class="menu__check">${each === value && html`<${Icon} name="check" />`}</span><span class="menu__text">${write(each)}</span></button>`);
}

const Outcomes = ({ value, close }) => html`<${Choices} name="outcome" values=${OUTCOMES} value=${value} write=${words} close=${close} />`;

function Handlers({ value, close }) {
  const [text, setText] = useState("");
  const names = (handlers.value ?? []).map(({ name }) => name);
  const found = names.filter((name) => name.toLowerCase().includes(text.toLowerCase()));
  return html`${names.length >= SEARCHED_MIN && html`<div class="menu__form"><input class="input" type="search" aria-label="Search the handlers" placeholder="Search" value=${text} onInput=${(event) => setText(event.target.value)} /></div>`}
    <div class="menu__list"><${Choices} name="handler" values=${found} value=${value} close=${close} /></div>
    ${found.length === 0 && html`<p class="menu__none">No handler has this name.</p>`}`;
}

/** A small form in a menu. */
function MenuForm({ submit, action, children }) {
  const onSubmit = (event) => {
    event.preventDefault();
    submit();
  };
  return html`<form class="menu__form" onSubmit=${onSubmit}>${children}<${Button} type="submit" small>${action}<//></form>`;
}

function Tag({ tags, close }) {
  const [text, setText] = useState("");
  const add = () => {
    if (text.trim()) setFilters({ tag: [...new Set([...tags, text.trim()])] });
    close?.();
  };
  return html`<${MenuForm} submit=${add} action="Add the tag">
    <${Field} label="Tag" hint="of several, a task must have all" input=${(attributes) => html`<${Text} ...${attributes} value=${text} onInput=${setText} />`} /><//>`;
}

function ErrorText({ value = "", close }) {
  const [text, setText] = useState(value);
  const apply = () => {
    setFilters({ error: text || null });
    close?.();
  };
  return html`<${MenuForm} submit=${apply} action="Apply">
    <${Field} label="Error contains" hint="upper and lower case differ" input=${(attributes) => html`<${Text} ...${attributes} value=${text} onInput=${setText} />`} /><//>`;
}

const HOUR_MS = 3_600_000;
const midnight = (daysAgo) => new Date(new Date(serverTime()).setHours(0, 0, 0, 0) - daysAgo * 24 * HOUR_MS);
const PRESETS = [
  ["the last hour", () => new Date(serverTime() - HOUR_MS)],
  ["today", () => midnight(0)],
  ["yesterday", () => midnight(1)],
  ["the last 7 days", () => midnight(7)],
];

function Presets({ name, prefix, others = {}, close }) {
  const choose = (timeOf) => {
    setFilters({ ...others, [name]: timeOf().toISOString() });
    close?.();
  };
  return PRESETS.map(([text, timeOf]) => html`<button type="button" class="menu__item" key=${text} onClick=${() => choose(timeOf)}><span class="menu__text">${prefix} ${text}</span></button>`);
}

/** A time as an input of the type `datetime-local` has it, in the reader's zone. */
function localTime(text) {
  if (!text) return "";
  const time = new Date(text);
  return new Date(time - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const isoTime = (local) => (local ? new Date(local).toISOString() : null);

function Submitted({ filters, close }) {
  const [since, setSince] = useState(localTime(filters.since));
  const [until, setUntil] = useState(localTime(filters.until));
  const apply = () => {
    setFilters({ since: isoTime(since), until: isoTime(until) });
    close?.();
  };
  return html`<${Presets} name="since" prefix="since" others=${{ until: null }} close=${close} /><div class="menu__divider"></div>
    <${MenuForm} submit=${apply} action="Apply">
      <${Field} label="Submitted since" input=${(attributes) => html`<${Text} ...${attributes} type="datetime-local" value=${since} onInput=${setSince} />`} />
      <${Field} label="Submitted before" hint=${zone()} input=${(attributes) => html`<${Text} ...${attributes} type="datetime-local" value=${until} onInput=${setUntil} />`} />
    <//>`;
}

function FinishedSince({ filters, close }) {
  const [since, setSince] = useState(localTime(filters.finished_since));
  const apply = () => {
    setFilters({ finished_since: isoTime(since) });
    close?.();
  };
  return html`<${Presets} name="finished_since" prefix="since" close=${close} /><div class="menu__divider"></div>
    <${MenuForm} submit=${apply} action="Apply">
      <${Field} label="Finished since" hint=${zone()} input=${(attributes) => html`<${Text} ...${attributes} type="datetime-local" value=${since} onInput=${setSince} />`} />
    <//>`;
}

/** All filters, one below the other, for a phone. */
function AllFilters({ filters, onClose }) {
  const [error, setError] = useState(filters.error ?? "");
  const [tag, setTag] = useState((filters.tag ?? []).join(", "));
  const [since, setSince] = useState(localTime(filters.since));
  const [until, setUntil] = useState(localTime(filters.until));
  const apply = () => {
    const tags = tag.split(",").map((each) => each.trim()).filter(Boolean);
    setFilters({ error: error || null, tag: tags.length ? tags : null, since: isoTime(since), until: isoTime(until) });
    onClose();
  };
  const foot = html`<${Button} onClick=${() => (clearFilters(), onClose())}>Clear all<//><${Button} kind="primary" type="submit">Show tasks<//>`;
  return html`<${Dialog} title="Filters" onClose=${onClose} onSubmit=${apply} foot=${foot}>
    <fieldset><legend class="field__label">Outcome</legend><${Outcomes} value=${filters.outcome} /></fieldset>
    <fieldset><legend class="field__label">Handler</legend><${Handlers} value=${filters.handler} /></fieldset>
    <${Field} label="Tags" hint="with commas between" input=${(attributes) => html`<${Text} ...${attributes} value=${tag} onInput=${setTag} />`} />
    <${Field} label="Error contains" input=${(attributes) => html`<${Text} ...${attributes} value=${error} onInput=${setError} />`} />
    <${Field} label="Submitted since" hint=${zone()} input=${(attributes) => html`<${Text} ...${attributes} type="datetime-local" value=${since} onInput=${setSince} />`} />
    <${Field} label="Submitted before" input=${(attributes) => html`<${Text} ...${attributes} type="datetime-local" value=${until} onInput=${setUntil} />`} />
  <//>`;
}
