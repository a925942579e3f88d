// What a task did with its time, to scale: waiting is striped, backoff is a dashed line, an attempt is a block.

import { clockTime, exactTime, span, words } from "./format.js";
import { html, useId, useLayoutEffect, useRef, useState } from "./html.js";

const CHARACTER_PX = 7; // about as wide as a character of a label is
const GAP_PX = 10;
const LISTED_MAX = 8;

/**
 * The parts of a task's life: each with `kind` (wait, attempt, backoff), `from`, `to`, and of an attempt `outcome`.
 * @param now the time at which a part that has not ended is cut off
 */
export function partsOf(record, now) {
  const ended = record.attempts.map((each) => ({
    kind: "attempt", from: Date.parse(each.started_at), to: Date.parse(each.ended_at), outcome: each.outcome, error: each.error,
  }));
  const isRunning = record.state === "running";
  const running = isRunning ? [{ kind: "attempt", from: Date.parse(record.started_at), to: now, outcome: "running" }] : [];
  const attempts = [...ended, ...running].map((each, index) => ({ ...each, number: index + 1 }));
  const parts = [];
  let from = Date.parse(record.submitted_at);
  for (const attempt of attempts) {
    parts.push({ kind: parts.length ? "backoff" : "wait", from, to: Math.max(from, attempt.from) }, attempt);
    from = attempt.to;
  }
  const end = record.finished_at ? Date.parse(record.finished_at) : now;
  if (!isRunning && end > from + 1) parts.push({ kind: attempts.length ? "backoff" : "wait", from, to: end });
  return parts.filter((part) => part.kind === "attempt" || part.to > part.from);
}

/** A part in words. */
export function partInWords({ kind, from, to, number, outcome }) {
  const length = span(to - from);
  if (kind === "wait") return `Waited ${length}`;
  if (kind === "backoff") return `Backoff ${length}`;
  return outcome === "running" ? `Attempt ${number}, ${length}` : `Attempt ${number} ${words(outcome)}, ${length}`;
}

/**
 * The life of a task.
 * @param record a whole record
 * @param now the present, in ms since 1970
 * @param likelyEnd when a running task is likely to end, if that is known
 */
export function LifeBar({ record, now, likelyEnd }) {
  const stripes = useId();
  const [svg, width] = useWidth();
  const parts = partsOf(record, now);
  const begin = Date.parse(record.submitted_at);
  const end = Math.max(parts.at(-1)?.to ?? now, likelyEnd ?? 0, begin + 1);
  const x = (time) => (100 * (time - begin)) / (end - begin);
  const final = parts.findLastIndex((part) => part.kind === "attempt");
  const isOver = record.state === "finished";
  const listed = parts.length > LISTED_MAX ? [...parts.slice(0, 3), null, ...parts.slice(-4)] : parts;
  const label = `Submitted ${clockTime(begin)}. ${parts.slice(-20).map(partInWords).join(". ")}`;
  return html`<svg ref=${svg} class="life" role="img" aria-label=${label}><g class="life__body">
      <defs><pattern id=${stripes} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="life__stripe" d="M0 0v6" /></pattern></defs>
      ${likelyEnd > now && html`<${Rest} x=${x(now)} width=${x(likelyEnd) - x(now)} at=${likelyEnd} />`}
      ${parts.map((part, index) => html`<${Part} key=${index} part=${part} x=${x} stripes=${stripes} isFinal=${isOver && index === final} />`)}
      ${labels(parts, x, width).map(({ at, text }) => html`<text class="life__label" x=${percent(at)} y="14">${text}</text>`)}
      ${!isOver && html`<line class="life__now" x1=${percent(x(now))} x2=${percent(x(now))} y1="19" y2="51" />`}
      ${ticks(parts, x, { begin, end, now, isOver }).map((tick) => html`<${Tick} ...${tick} />`)}
    </g></svg>
    <ol class="life__legend">${listed.map((part) => html`<li>${part ? partInWords(part) : `and ${parts.length - 7} more`}</li>`)}</ol>`;
}

const percent = (number) => `${number.toFixed(3)}%`;

function Part({ part, x, stripes, isFinal }) {
  const [left, width] = [x(part.from), x(part.to) - x(part.from)];
  const title = html`<title>${`${partInWords(part)}, from ${exactTime(new Date(part.from))}${part.error ? `: ${part.error}` : ""}`}</title>`;
  if (part.kind === "wait") return html`<rect class="life__wait" x=${percent(left)} y="24" width=${percent(width)} height="22" rx="3" fill=${`url(#${stripes})`}>${title}</rect>`;
  if (part.kind === "backoff") return html`<line class="life__backoff" x1=${percent(left)} x2=${percent(left + width)} y1="35" y2="35">${title}</line>`;
  const outcome = part.outcome.replaceAll("_", "-");
  const isFailure = outcome === "failed" || outcome === "abandoned";
  const kind = `life__attempt life__attempt--${outcome}${isFinal ? " life__attempt--final" : ""}`;
  return html`<rect class=${kind} data-role=${isFailure ? "failure" : undefined} x=${percent(left)} y="24" width=${percent(Math.max(width, 0.25))} height="22" rx="3">${title}</rect>`;
}

const Rest = ({ x, width, at }) => html`<rect class="life__rest" x=${percent(x)} y="24.5" width=${percent(width)} height="21" rx="3">
  <title>${`likely to end at ${clockTime(at)}`}</title></rect>`;

/** The width of an element in pixels, as it changes. */
function useWidth() {
  const element = useRef();
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(entry.contentRect.width));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return [element, width];
}

/** The labels that fit over their parts, none over another. */
function labels(parts, x, width) {
  const found = [];
  let free = 0;
  for (const part of parts) {
    const at = x(part.from);
    const text = partInWords(part);
    const needed = (100 * (text.length * CHARACTER_PX + GAP_PX)) / width;
    if (at >= free && x(part.to) - at > 1.5 && at + needed <= 101) {
      found.push({ at, text });
      free = at + needed;
    }
  }
  return found;
}

/** The times below the bar: its begin, its end, and now. */
function ticks(parts, x, { begin, end, now, isOver }) {
  const last = { at: 100, text: clockTime(end), anchor: "end" };
  const first = { at: 0, text: clockTime(begin), anchor: "start" };
  const present = { at: x(now), text: "now", anchor: "middle" };
  if (isOver) return [first, last];
  return x(now) > 92 ? [first, { ...present, anchor: "end", at: Math.min(100, x(now)) }] : [first, ...(x(now) > 8 ? [present] : []), last];
}

function Tick({ at, text, anchor }) {
  return html`<line class="life__tick" x1=${percent(at)} x2=${percent(at)} y1="50" y2="55" /><text class="life__time" x=${percent(at)} y="68" text-anchor=${anchor}>${text}</text>`;
}
