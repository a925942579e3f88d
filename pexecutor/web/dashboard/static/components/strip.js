// The last outcomes as a strip of marks, oldest first. Height tells them apart as well as colour.

import { html } from "./html.js";
import { isFailure, wordOf } from "./status.js";

const HIGH = { succeeded: 55, none: 30, cancelled: 55, "timed-out": 80, failed: 100, abandoned: 100, running: 55 };

/**
 * A strip.
 * @param outcomes statuses, oldest first; `none` for an occurrence without a task
 * @param titles what is said of each, such as its time
 * @param kind `wide` or `full`
 */
export function Strip({ outcomes, titles = [], kind }) {
  const counts = new Map();
  for (const each of outcomes) counts.set(each, (counts.get(each) ?? 0) + 1);
  const label = `last ${outcomes.length}: ${[...counts].map(([each, number]) => `${number} ${each === "none" ? "without a task" : wordOf(each)}`).join(", ")}`;
  const step = 100 / Math.max(outcomes.length, 1);
  const mark = (each, index) => html`<rect class=${`strip__mark strip__mark--${each}`} data-role=${isFailure(each) ? "failure" : undefined}
    x=${`${(index * step).toFixed(2)}%`} width=${`${(step * 0.7).toFixed(2)}%`} y=${`${100 - HIGH[each]}%`} height=${`${HIGH[each]}%`} rx="1">
    <title>${titles[index] ?? wordOf(each)}</title></rect>`;
  return html`<svg class=${`strip${kind ? ` strip--${kind}` : ""}`} role="img" aria-label=${label}>${outcomes.map(mark)}</svg>`;
}
