// The last occurrences of a schedule as a strip, and its times of the next day to scale.

import { now } from "../api/clock.js";
import { clockTime, countOf, exactTime, words } from "../components/format.js";
import { html, useEffect, useRef } from "../components/html.js";
import { wordOf } from "../components/status.js";
import { Strip } from "../components/strip.js";
import { askForStatuses, statuses } from "./schedule_statuses.js";

const DAY_MS = 86_400_000;
const TICKS_MAX = 48; // more are too many to tell apart

const REASONS = {
  held: "the name was held",
  full: "the queue was full",
  late: "the time was missed",
  paused: "the schedule was paused",
  no_such_handler: "no server had the handler",
};

/** Why an occurrence was skipped, in words. */
export const reasonInWords = (reason) => REASONS[reason] ?? words(reason);

/** The status of an occurrence: that of its task, `skipped`, `none` if it was paused, or `unknown` until it is read. */
export function statusOfOccurrence({ task_id: id, skipped }) {
  if (skipped) return skipped === "paused" ? "none" : "skipped";
  return statuses.value.get(id) ?? "unknown";
}

/** An occurrence in words, for its mark in the strip. */
export function occurrenceInWords(occurrence) {
  const { at, skipped, count = 1, last_at: last } = occurrence;
  const time = exactTime(new Date(at));
  if (!skipped) return `${time}: ${wordOf(statusOfOccurrence(occurrence))}`;
  const many = count > 1 ? `${countOf(count, "time")}, the last at ${exactTime(new Date(last))}` : "";
  return `${time}: skipped, ${reasonInWords(skipped)}${many && ` (${many})`}`;
}

/** The last occurrences, the oldest first. Their statuses are read once the strip is on the screen. */
export function OccurrenceStrip({ occurrences }) {
  const box = useRef();
  const ids = occurrences.map(({ task_id: id }) => id).filter(Boolean);
  useEffect(() => {
    const observer = new IntersectionObserver(([entry]) => entry.isIntersecting && askForStatuses(ids));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, [ids.join(" ")]);
  const ordered = [...occurrences].reverse();
  return html`<div ref=${box}>${ordered.length === 0 ? html`<span class="text-faint">none yet</span>`
    : html`<${Strip} outcomes=${ordered.map(statusOfOccurrence)} titles=${ordered.map(occurrenceInWords)} slots=${10} />`}</div>`;
}

/** The times in the next day, as far as they are known: the API lists five, and those of a period can be told. */
function timesOfDay({ next, every }, from) {
  const times = next.map((each) => Date.parse(each)).filter((time) => time < from + DAY_MS);
  if (every && times.length === 5 && DAY_MS / every <= TICKS_MAX) {
    for (let time = times.at(-1) + every; time < from + DAY_MS; time += every) times.push(time);
  }
  return times;
}

/** The next day to scale: a mark for each time, and a band where times are too many, or are not listed one by one. */
export function Timeline({ schedule }) {
  const from = now.value;
  const times = timesOfDay(schedule, from);
  const x = (time) => `${((100 * Math.max(0, time - from)) / DAY_MS).toFixed(2)}%`;
  const isMore = schedule.next.length === 5 && times.length === 5;
  const isBand = isMore && (times[4] - times[0]) / 4 < DAY_MS / TICKS_MAX;
  const due = `timeline__due${schedule.paused ? " timeline__due--paused" : ""}`;
  const label = isMore ? `more than five times in the next 24 h` : `${countOf(times.length, "time")} in the next 24 h`;
  const bandFrom = times[isBand ? 0 : 4];
  return html`<svg class="timeline" role="img" aria-label=${label}><title>${label}</title>
    <line class="timeline__base" x1="0" x2="100%" y1="12" y2="12" />
    ${isMore && html`<rect class=${`timeline__band${schedule.paused ? " timeline__band--paused" : ""}`} x=${x(bandFrom)} y="8" width=${`${(100 - (100 * Math.max(0, bandFrom - from)) / DAY_MS).toFixed(2)}%`} height="8" rx="2" />`}
    ${!isBand && times.map((time) => html`<line class=${due} x1=${x(time)} x2=${x(time)} y1="7" y2="17"><title>${clockTime(time)}</title></line>`)}
  </svg>`;
}

/** The axis of the timelines below it. */
export function TimelineAxis() {
  const from = now.value;
  const midnight = new Date(from).setHours(24, 0, 0, 0);
  const at = (100 * (midnight - from)) / DAY_MS;
  return html`<svg class="timeline" aria-hidden="true">
    <text class="timeline__label" x="0" y="16">now</text>
    ${at > 18 && at < 78 && html`<text class="timeline__label" x=${`${at.toFixed(1)}%`} y="16" text-anchor="middle">00:00</text>`}
    <text class="timeline__label" x="100%" y="16" text-anchor="end">+24 h</text>
  </svg>`;
}
