// The last outcomes as a strip of marks, oldest first. Height tells them apart as well as colour.

import { html } from "./html.js";
import { isFailure, wordOf } from "./status.js";

const HIGH = {
  succeeded: 55, none: 30, skipped: 30, unknown: 30, gone: 30, cancelled: 55, "timed-out": 80, failed: 100, abandoned: 100,
  running: 55, pending: 40, scheduled: 40, blocked: 40, paused: 40,
};

const WORDS = { none: "without a task", gone: "no longer kept", unknown: "not read yet" };

/**
 * A strip.
 * @param outcomes statuses, oldest first; `none` or `skipped` for an occurrence without a task, `gone` without a record
 * @param titles what is said of each, such as its time
 * @param kind `wide` or `full`
 * @param slots how many marks the strip has room for: the strips of a table have marks of one width, the latest at the end
 */
export function Strip({ outcomes, titles = [], kind, slots = outcomes.length }) {
  const counts = new Map();
  for (const each of outcomes) counts.set(each, (counts.get(each) ?? 0) + 1);
  const label = `last ${outcomes.length}: ${[...counts].map(([each, number]) => `${number} ${WORDS[each] ?? wordOf(each)}`).join(", ")}`;
  const step = 100 / Math.max(slots, 1);
  const first = Math.max(0, slots - outcomes.length);
  const mark = (each, index) => html`<rect class=${`strip__mark strip__mark--${each}`} data-role=${isFailure(each) ? "failure" : undefined}
    x=${`${((first + index) * step).toFixed(2)}%`} width=${`${(step * 0.7).toFixed(2)}%`} y=${`${100 - HIGH[each]}%`} height=${`${HIGH[each]}%`} rx="1">
    <title>${titles[index] ?? wordOf(each)}</title></rect>`;
  return html`<svg class=${`strip${kind ? ` strip--${kind}` : ""}`} role="img" aria-label=${label}>${outcomes.map(mark)}</svg>`;
}
