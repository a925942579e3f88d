// Times: relative, with the exact time and its zone on hover.

import { now } from "../api/clock.js";
import { clockTime, exactTime, relative, span, wholeSpan } from "./format.js";
import { html, useComputed } from "./html.js";

/** A time relative to now, which goes on by itself. */
export function Ago({ at }) {
  const time = new Date(at);
  const text = useComputed(() => relative(time, now.value));
  return html`<time datetime=${time.toISOString()} title=${exactTime(time)}>${text}</time>`;
}

/** The time of the day. */
export function Clock({ at }) {
  const time = new Date(at);
  return html`<time datetime=${time.toISOString()} title=${exactTime(time)}>${clockTime(time)}</time>`;
}

/** How long it has been since a time, which counts up. */
export function Since({ at }) {
  const time = new Date(at);
  const text = useComputed(() => wholeSpan(now.value - time));
  return html`<time datetime=${time.toISOString()} title=${`since ${exactTime(time)}`}>${text}</time>`;
}

/** How long something took. */
export function Took({ ms, title }) {
  return html`<span title=${title}>${span(ms)}</span>`;
}
