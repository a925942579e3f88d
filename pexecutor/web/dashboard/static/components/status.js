// The one shape and the one word of each state and outcome, wherever it is shown.

import { html } from "./html.js";

const SHAPES = {
  scheduled: () => html`<circle cx="8" cy="8" r="5.8" stroke-dasharray="2.2 2.35"/><path d="M8 5.4V8l1.8 1.2"/>`,
  pending: () => html`<circle cx="8" cy="8" r="5.8"/>`,
  blocked: () => html`<circle cx="8" cy="8" r="5.8"/><path d="M5.4 8h5.2"/>`,
  paused: () => html`<circle cx="8" cy="8" r="5.8"/><path d="M6.6 6v4M9.4 6v4"/>`,
  running: () => html`<circle cx="8" cy="8" r="5.8" stroke-opacity=".25"/><path d="M8 2.2A5.8 5.8 0 0 1 13.8 8"/>`,
  late: () => html`<path d="M8 1.4L14.6 8 8 14.6 1.4 8z"/><path d="M8 5.2v3.2l2 1"/>`,
  succeeded: () => html`<path d="M2.8 8.6l3.4 3.4 7-7.4" stroke-width="2"/>`,
  failed: () => html`<rect class="status__solid" x="1.5" y="1.5" width="13" height="13" rx="3"/><path class="status__cut" d="M5.5 5.5l5 5M10.5 5.5l-5 5"/>`,
  "timed-out": () => html`<path class="status__solid" d="M8 .6L15.4 8 8 15.4.6 8z"/><path class="status__cut" d="M8 4.8V8.4l2.3 1.2"/>`,
  cancelled: () => html`<circle cx="8" cy="8" r="5.8"/><path d="M4.2 11.8l7.6-7.6"/>`,
  abandoned: () => html`<rect x="2.2" y="2.2" width="11.6" height="11.6" rx="2.6" stroke-dasharray="3 2.4"/><path d="M8 5v3.4M8 11h.01"/>`,
};

/** The words of all states and outcomes, in the order in which a task has them. */
export const STATUSES = Object.keys(SHAPES);

const FAILURES = new Set(["failed", "abandoned"]);

/** Whether a state or an outcome is a failure: only then may it have the colour of failures. */
export const isFailure = (status) => FAILURES.has(status);

/** The word for a status, as people read it. */
export const wordOf = (status) => status.replaceAll("-", " ");

/** The status to show for a record: its outcome, or its state with the reason for which it waits. */
export function statusOf(record, pauses = []) {
  if (record.outcome) return record.outcome.replaceAll("_", "-");
  if (record.state !== "pending") return record.state;
  const isPaused = pauses.some((pause) => pause.what === "everything" || pause.handler === record.handler);
  if (isPaused) return "paused";
  return record.blocked_by?.length ? "blocked" : "pending";
}

/**
 * A state or an outcome.
 * @param status one of STATUSES
 * @param pill whether it stands alone, on a ground of its colour
 * @param wordless whether only screen readers get the word
 * @param word another word than that of the status, for what is no task
 */
export function Status({ status, pill = false, wordless = false, word = wordOf(status) }) {
  const kind = `status status--${status}${pill ? " status--pill" : ""}`;
  return html`<span class=${kind} data-role=${isFailure(status) ? "failure" : undefined}>
    <svg class="status__shape" viewBox="0 0 16 16" aria-hidden="true">${SHAPES[status]()}</svg>
    <span class=${wordless ? "visually-hidden" : "status__word"}>${word}</span>
  </span>`;
}
