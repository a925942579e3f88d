// The events, as they happen.

import { now } from "../api/clock.js";
import { connection } from "../api/live.js";
import { handlers, readHandlers } from "../api/server.js";
import { Page } from "../app/frame.js";
import { hrefOf, query, setQuery } from "../app/router.js";
import { Button, Empty, Name } from "../components/basics.js";
import { count, countOf, exactTime, rate, words, zoneText } from "../components/format.js";
import { html, useEffect, useMemo, useState } from "../components/html.js";
import { Icon } from "../components/icon.js";
import { isFailure, Status } from "../components/status.js";
import { EventFilters, filtersOf, meetsFilters } from "./events_filters.js";
import { EventLog, KEPT_MAX } from "./events_log.js";
import { eventInWords, statusOfEvent, subjectOf } from "./events_words.js";

const DRAWN = 100; // while the list moves, no more rows are drawn
const DRAWN_FAST = 40; // the same, if it moves fast
const FAST_PER_SECOND = 200;
const HOLDS_BELOW = 120; // a list that is scrolled further does not move

export default function Events() {
  const search = query.value.toString();
  const filters = useMemo(() => filtersOf(query.value), [search]);
  const log = useMemo(() => new EventLog(meetsFilters(filters)), []);
  const [drawn, setDrawn] = useState(DRAWN);
  useEffect(() => () => log.close(), []);
  useEffect(() => log.filter(meetsFilters(filters)), [filters]);
  useEffect(() => void readHandlers().catch(() => {}), []);
  useHoldWhileScrolled(log);
  const isHeld = log.held.value !== null;
  const shown = !isHeld && log.perSecond.value > FAST_PER_SECOND ? DRAWN_FAST : drawn;
  const release = () => {
    scrollTo(0, 0);
    setDrawn(DRAWN);
    log.release();
  };
  return html`<${Page} title="Events">
    <div class="toolbar" role="search">
      <${EventFilters} filters=${filters} handlers=${(handlers.value ?? []).map(({ name }) => name)} />
      <span class="toolbar__end row">
        <span class="text-muted not-on-phone">${rate(log.perSecond.value)} per s</span>
        ${isHeld ? html`<${Button} icon="resume" onClick=${release}>${log.held.value ? `Show ${countOf(log.held.value, "event")}` : "Go on"}<//>`
          : html`<${Button} icon="pause" onClick=${() => log.hold()}>Hold<//>`}
      </span>
    </div>
    <section class="panel" aria-label="Events">
      <${Table} rows=${log.rows.value.slice(0, shown)} filters=${filters} />
      <${Foot} log=${log} drawn=${shown} more=${() => (log.hold(), setDrawn(drawn * 3))} />
    </section>
  <//>`;
}

/** The list holds still while the reader has scrolled down in it. */
function useHoldWhileScrolled(log) {
  useEffect(() => {
    const onScroll = () => scrollY > HOLDS_BELOW && log.hold();
    addEventListener("scroll", onScroll, { passive: true });
    return () => removeEventListener("scroll", onScroll);
  }, [log]);
}

function Table({ rows, filters }) {
  if (!rows.length) return html`<${Nothing} filters=${filters} />`;
  return html`<table class="table">
    <thead><tr>
      <th scope="col" class="table__number">Time</th>
      <th scope="col" class="table__status">State</th>
      <th scope="col">Task</th>
      <th scope="col" class="table__medium">What happened</th>
    </tr></thead>
    <tbody>${rows.map((row) => html`<${Row} key=${row.key} row=${row} />`)}</tbody>
  </table>`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

function Row({ row }) {
  if (row.kind === "gap") return html`<tr class="table__detail"><td colspan="4"><span class="event-gap" role="status"><${Icon} name="warn" />Events may be missing here: the connection was lost, or they came too fast.</span></td></tr>`;
  const { status, word, icon, tone: other } = statusOfEvent(row);
  const { name, href } = subjectOf(row);
  const what = eventInWords(row);
  const failed = status && isFailure(status);
  const tone = failed ? " table__note--failure" : status === "timed-out" ? " table__note--late" : "";
  const role = failed ? "failure" : undefined;
  const time = new Date(row.at);
  return html`<tr>
    <td class="table__number"><time datetime=${time.toISOString()} title=${exactTime(time)}>${clock.format(time)}</time></td>
    <td class="table__status">${status ? html`<${Status} status=${status} />`
      : html`<span class=${`status status--${other}`}><${Icon} name=${icon} class="icon status__shape" /><span class="status__word">${word}</span></span>`}</td>
    <td class="table__name"><${Name} name=${name} href=${href} />
      <div class=${`table__below${tone}`} data-role=${role} title=${what}>${what}</div></td>
    <td class=${`table__note table__medium${tone}`} data-role=${role} title=${what}>${what}</td>
  </tr>`;
}

function Nothing({ filters }) {
  const { state } = connection.value;
  if (state !== "live" && state !== "connecting") return html`<${Empty} icon="lost" title="No events at present">
    <p class="empty__text">The stream of events is not open. The page opens it again by itself.</p><//>`;
  const chosen = Object.entries(filters).filter(([, value]) => value);
  if (!chosen.length) return html`<${Empty} icon="events" title="Waiting for events">
    <p class="empty__text">Whatever happens from now on is shown here. What has happened before is in the <a href=${hrefOf("tasks")}>list of tasks</a>.</p><//>`;
  const clear = () => setQuery(Object.fromEntries(chosen.map(([name]) => [name, null])));
  return html`<${Empty} icon="filter" title="Waiting for events that match">
    <p class="empty__text">No event since you opened the page meets these filters: ${chosen.map(([name, value]) => `${words(name)} ${value}`).join(", ")}.</p>
    <${Button} onClick=${clear}>Clear the filters<//><//>`;
}

function Foot({ log, drawn, more }) {
  const kept = log.rows.value.length;
  return html`<div class="panel__foot">
    <span>${kept > drawn ? `The last ${count(drawn)} of ${countOf(kept, "event")}` : countOf(kept, "event")}; the last ${count(KEPT_MAX)} are kept in this page</span>
    ${kept > drawn && html`<${Button} small onClick=${more}>Show more<//>`}
    <span>Times in ${zoneText(now.peek())}</span>
  </div>`;
}
