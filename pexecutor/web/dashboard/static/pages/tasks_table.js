// The table of tasks. Of a long list only the rows near the window are drawn.

import { now } from "../api/clock.js";
import { handlers } from "../api/server.js";
import { may } from "../api/session.js";
import { hrefOf } from "../app/router.js";
import { Name } from "../components/basics.js";
import { exactTime, relative, span } from "../components/format.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../components/html.js";
import { isFailure, Status, statusOf, wordOf } from "../components/status.js";
import { Ago, Since } from "../components/time.js";
import { isLate, progressInWords, usualOf } from "./task_progress.js";
import { RowMenu, TaskDialogs } from "./task_menu.js";

const DRAWN_ALL_MAX = 120;
const AROUND = 25;

/** The table; `selected` is a set of ids. */
export function TaskTable({ rows, pauses, selected, setSelected }) {
  const body = useRef();
  const { from, to, above, below } = useWindow(body, rows.length);
  const canSelect = may("submit");
  const last = useRef(null);
  const toggle = (index, isOn, isRange) => {
    const [low, high] = isRange && last.current !== null ? [Math.min(index, last.current), Math.max(index, last.current)] : [index, index];
    const changed = new Set(selected);
    for (const { id } of rows.slice(low, high + 1)) isOn ? changed.add(id) : changed.delete(id);
    last.current = index;
    setSelected(changed);
  };
  const viewsOf = useRowViews(toggle, [pauses, canSelect, handlers.value]);
  const toggleAll = () => setSelected(selected.size === rows.length ? new Set() : new Set(rows.map(({ id }) => id)));
  const isSome = selected.size > 0 && selected.size < rows.length;
  return html`<table class="table" aria-rowcount=${rows.length + 1}>
    <thead><tr aria-rowindex="1">
      ${canSelect && html`<th scope="col" class="table__check"><span class="visually-hidden">Selected</span><input class="checkbox" type="checkbox" aria-label="Select all rows shown"
        checked=${selected.size === rows.length} ref=${(box) => box && (box.indeterminate = isSome)} onChange=${toggleAll} /></th>`}
      <th scope="col" class="table__status">Status</th>
      <th scope="col" class="table__name">Name</th>
      <th scope="col" class="table__wide">Handler</th>
      <th scope="col" class="table__medium">Reason, progress or error</th>
      <th scope="col" class="table__number table__wide">Priority</th>
      <th scope="col" class="table__number table__wide">Runs for</th>
      <th scope="col" class="table__number">Changed</th>
      <th scope="col" class="table__actions table__medium"><span class="visually-hidden">Actions</span></th>
    </tr></thead>
    <tbody ref=${body}>
      <${Space} rows=${above} />
      ${viewsOf(rows.slice(from, to), from, selected, pauses, canSelect)}
      <${Space} rows=${below} />
    </tbody>
  </table>
  <${TaskDialogs} />`;
}

/**
 * Make the views of rows; a row whose record is the same gets the same view, so that it is not drawn again. Only the rows
 * that were drawn last are kept: a list that is refreshed for hours shows ever new tasks.
 */
function useRowViews(toggle, needs) {
  const latest = useRef();
  latest.current = toggle;
  const drawn = useMemo(() => ({ rows: new Map() }), needs);
  const toggleLatest = useMemo(() => (...change) => latest.current(...change), []);
  const rowOf = (record, index, isSelected, pauses, canSelect) => {
    const known = drawn.rows.get(record.id);
    if (known?.record === record && known.index === index && known.isSelected === isSelected) return known;
    const view = html`<${Row} key=${record.id} record=${record} index=${index} pauses=${pauses} isSelected=${isSelected} toggle=${canSelect && toggleLatest} />`;
    return { record, index, isSelected, view };
  };
  return (records, from, selected, pauses, canSelect) => {
    const rows = records.map((record, at) => rowOf(record, from + at, selected.has(record.id), pauses, canSelect));
    drawn.rows = new Map(rows.map((row) => [row.record.id, row]));
    return rows.map(({ view }) => view);
  };
}

function Row({ record, index, pauses, isSelected, toggle }) {
  const status = statusOf(record, pauses);
  const note = noteOf(record);
  const failed = isFailure(status);
  const late = status === "timed-out" || (status === "running" && !record.progress && isLate(record, usualOf(record, handlers.value), now.value));
  const tone = failed ? " table__note--failure" : late ? " table__note--late" : "";
  const role = failed ? "failure" : undefined;
  return html`<tr aria-rowindex=${index + 2} aria-selected=${toggle ? String(isSelected) : undefined}>
    ${toggle && html`<td class="table__check"><input class="checkbox" type="checkbox" aria-label=${`Select ${record.name}`} checked=${isSelected}
      onClick=${(event) => toggle(index, event.target.checked, event.shiftKey)} /></td>`}
    <td class="table__status"><${Status} status=${status} /></td>
    <td class="table__name"><${Name} name=${record.name} href=${hrefOf("tasks", record.id)} />
      <div class=${`table__below${tone}`} data-role=${role} title=${`${wordOf(status)}${note && ` · ${note}`}`}>${wordOf(status)}${note && ` · ${note}`}</div></td>
    <td class="table__short table__wide" title=${record.handler}>${record.handler}</td>
    <td class=${`table__note table__medium${tone}`} data-role=${role} title=${note}>${note}</td>
    <td class=${`table__number table__wide${record.priority ? "" : " text-faint"}`}>${record.priority}</td>
    <td class="table__number table__wide"><${RanFor} record=${record} /></td>
    <td class="table__number"><${Ago} at=${changedAt(record)} /></td>
    <td class="table__actions table__medium"><div class="table__buttons"><${RowMenu} record=${record} /></div></td>
  </tr>`;
}

const changedAt = (record) => record.finished_at ?? record.started_at ?? record.submitted_at;

function RanFor({ record: { started_at: from, finished_at: to } }) {
  if (!from) return "–";
  if (!to) return html`<${Since} at=${from} />`;
  return html`<span title=${`${exactTime(new Date(from))} to ${exactTime(new Date(to))}`}>${span(Date.parse(to) - Date.parse(from))}</span>`;
}

/** Why a record waits, how far it is, or what went wrong, in one line. */
export function noteOf(record) {
  if (record.state === "finished") return record.error ?? "";
  if (record.state === "pending") return record.blocked_by?.join("; ") ?? "";
  if (record.follows) return `follows ${record.follows}`;
  if (record.due_at) return `due ${relative(Date.parse(record.due_at), now.value)}`;
  return progressInWords(record, usualOf(record, handlers.value));
}

function Space({ rows }) {
  const element = useRef();
  useLayoutEffect(() => element.current?.style.setProperty("height", `${rows}px`), [rows]);
  return rows > 0 && html`<tr class="table__space" ref=${element} aria-hidden="true"></tr>`;
}

/** Which rows are near the window, and how many pixels the others take above and below them. */
function useWindow(body, length) {
  const [range, setRange] = useState({ from: 0, to: DRAWN_ALL_MAX });
  const height = useRef(38);
  useEffect(() => {
    if (length <= DRAWN_ALL_MAX) return setRange({ from: 0, to: length });
    const measure = () => {
      const row = body.current.querySelector("tr[aria-rowindex]");
      if (row) height.current = row.offsetHeight;
      const top = body.current.getBoundingClientRect().top;
      const first = Math.floor(-top / height.current);
      const from = Math.max(0, Math.min(length, first) - AROUND);
      const to = Math.min(length, first + Math.ceil(innerHeight / height.current) + AROUND);
      const isEdge = from === 0 || to === length;
      setRange((before) => (Math.abs(before.from - from) > 5 || Math.abs(before.to - to) > 5 || isEdge ? { from, to } : before));
    };
    measure();
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => {
      removeEventListener("scroll", measure);
      removeEventListener("resize", measure);
    };
  }, [length]);
  const { from } = range;
  const to = length <= DRAWN_ALL_MAX ? length : Math.min(range.to, length);
  if (length <= DRAWN_ALL_MAX) return { from: 0, to, above: 0, below: 0 };
  return { from, to, above: from * height.current, below: (length - to) * height.current };
}
