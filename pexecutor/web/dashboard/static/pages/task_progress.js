// How far a running task is: as it reports, or else measured against how long tasks of its handler usually take.

import { now } from "../api/clock.js";
import { count, span } from "../components/format.js";
import { html } from "../components/html.js";

const LATE_FACTOR = 3;

/** The progress of a running task in words, or an empty text. */
export function progressInWords({ progress, started_at: from }, usualMs) {
  if (progress) return progress.total ? `${count(progress.done)} of ${count(progress.total)}` : count(progress.done);
  if (!(usualMs > 0)) return "";
  return now.peek() - Date.parse(from) > LATE_FACTOR * usualMs ? `usually ${span(usualMs)}` : `of about ${span(usualMs)}`;
}

/** The progress of a running task as a bar. */
export function Progress({ record, usual }) {
  const { progress, started_at: from } = record;
  const words = progressInWords(record, usual) || "no progress is known";
  if (progress?.total) return html`<progress class="progress" value=${progress.done} max=${progress.total} aria-label=${words} title=${words}></progress>`;
  if (!(usual > 0) || progress) return null;
  const ran = now.value - Date.parse(from);
  const isLate = ran > LATE_FACTOR * usual;
  const kind = isLate ? "progress--late" : "progress--estimated";
  return html`<progress class=${`progress ${kind}`} value=${Math.min(ran, usual)} max=${usual} aria-label=${words} title=${words}></progress>`;
}
