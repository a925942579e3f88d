// How far a running task is: as it reports, or else measured against how long tasks of its handler usually take.

import { now } from "../api/clock.js";
import { count, span } from "../components/format.js";
import { html } from "../components/html.js";

const LATE_FACTOR = 3; // so many times as long as 95 % of its like
const LATE_MS_MIN = 60_000;

/** How long attempts of a record's handler run on this server, in ms: half of them less than `half`, most less than `most`. */
export function usualOf({ handler }, handlers) {
  const { p50, p95 } = handlers?.find(({ name }) => name === handler)?.run_seconds ?? {};
  return p50 === undefined ? null : { half: p50 * 1000, most: p95 * 1000 };
}

/** Whether a running task takes much longer than its like. */
export const isLate = ({ started_at: from }, usual, time) =>
  usual !== null && time - Date.parse(from) > Math.max(LATE_MS_MIN, LATE_FACTOR * usual.most);

/** The progress of a running task in words, or an empty text. */
export function progressInWords(record, usual) {
  const { progress, started_at: from } = record;
  if (progress) return progress.total ? `${count(progress.done)} of ${count(progress.total)}` : count(progress.done);
  if (!usual) return "";
  return now.peek() - Date.parse(from) > usual.most ? `usually ${span(usual.half)}` : `of about ${span(usual.half)}`;
}

/** The progress of a running task as a bar. */
export function Progress({ record, usual }) {
  const { progress, started_at: from } = record;
  const words = progressInWords(record, usual) || "no progress is known";
  if (progress?.total) return html`<progress class="progress" value=${progress.done} max=${progress.total} aria-label=${words} title=${words}></progress>`;
  if (!usual || progress) return null;
  const ran = now.value - Date.parse(from);
  const kind = isLate(record, usual, now.value) ? "progress--late" : "progress--estimated";
  return html`<progress class=${`progress ${kind}`} value=${Math.min(ran, usual.half)} max=${usual.half || 1} aria-label=${words} title=${words}></progress>`;
}
