// The four measures of the overview: the queue against its bound, throughput, time in the queue, run time.

import { serverTime } from "../api/clock.js";
import { get } from "../api/client.js";
import { statistics } from "../api/server.js";
import { Chart } from "../components/chart.js";
import { count, countOf, rate, roughSpan, span, words } from "../components/format.js";
import { effect, html, signal, useEffect, useState } from "../components/html.js";

const PERIOD_MS = 5000;
const SAMPLES_MAX = 450; // fifteen minutes of statistics
const SHOWN_PART_MIN = 0.06; // a failure is drawn at least this high

const samples = signal([]); // what the queue was, as far as this page has seen it

effect(() => {
  if (!statistics.value) return;
  const { pending, scheduled } = statistics.value.store;
  samples.value = [...samples.peek(), { at: serverTime() / 1000, waiting: pending + scheduled }].slice(-SAMPLES_MAX);
});

/** The measures; `range` is `15m` or `24h`. */
export function Charts({ range }) {
  const [history, setHistory] = useState(null);
  useEffect(() => {
    let isCurrent = true;
    const read = async () => {
      const found = await get(`statistics/history${range === "24h" ? "?hours=24" : ""}`).catch(() => null);
      if (found && isCurrent) setHistory(pointsOf(found, range === "24h" ? 86_400 : 900));
    };
    read();
    const timer = setInterval(() => document.hidden || read(), PERIOD_MS);
    return () => {
      isCurrent = false;
      clearInterval(timer);
    };
  }, [range]);
  return html`<div class="grid-of-four">
    <${Queue} />
    <${Throughput} history=${history} />
    <${Latency} title="Time in queue" member="queue_seconds" history=${history} />
    <${Latency} title="Run time" member="run_seconds" history=${history} />
  </div>`;
}

/** All intervals of a range, also those in which nothing happened. */
function pointsOf({ interval_seconds: seconds, intervals }, length) {
  const known = new Map(intervals.map((each) => [Math.round(Date.parse(each.begins_at) / 1000), each]));
  const last = Math.floor(serverTime() / 1000 / seconds) * seconds;
  const times = Array.from({ length: length / seconds }, (_, index) => last - length + (index + 1) * seconds);
  return { seconds, times, points: times.map((time) => known.get(time) ?? {}) };
}

function Measure({ title, number, unit, note, children }) {
  return html`<section class="panel measure"><div class="panel__body">
    <h2 class="text-muted">${title}</h2>
    <div class="figure"><span class="figure__number">${number}</span><span class="figure__unit">${unit}</span><span class="figure__note" title=${note}>${note}</span></div>
    ${children}
  </div></section>`;
}

function Queue() {
  const found = statistics.value;
  const waiting = found ? found.store.pending + found.store.scheduled : 0;
  const seen = samples.value;
  const work = found?.finished_per_second > 0 && found.store.pending > 0 ? `about ${roughSpan((found.store.pending / found.finished_per_second) * 1000)} of work` : "";
  const note = found ? [work, found.store.scheduled ? `${count(found.store.scheduled)} scheduled` : ""].filter(Boolean).join(", ") || "nothing waits long" : "";
  const bound = found?.store.queue_size ?? 0;
  const isNear = waiting > bound / 2;
  const series = [{ kind: "area", values: seen.map((each) => each.waiting) }, ...(isNear ? [{ kind: "bound", values: seen.map(() => bound) }] : [])];
  return html`<${Measure} title="Queue" number=${count(waiting)} unit=${`of ${count(bound)}`} note=${note}>
    <${Chart} label=${`Waiting tasks: ${count(waiting)} of at most ${count(bound)}`} times=${seen.map((each) => each.at)} series=${series}
      write=${(at) => `${countOf(seen[at].waiting, "task waits", "tasks wait")}`} />
  <//>`;
}

const total = (finished = {}) => Object.values(finished).reduce((sum, each) => sum + each, 0);
const failures = (finished = {}) => (finished.failed ?? 0) + (finished.abandoned ?? 0);

function inWords(finished) {
  const others = ["failed", "timed_out", "abandoned", "cancelled"].filter((outcome) => finished[outcome]);
  return others.map((outcome) => `${count(finished[outcome])} ${words(outcome)}`).join(", ");
}

function sumOf(points) {
  const sum = {};
  for (const { finished = {} } of points) for (const [outcome, number] of Object.entries(finished)) sum[outcome] = (sum[outcome] ?? 0) + number;
  return sum;
}

function Throughput({ history }) {
  const { times = [], points = [], seconds = 1 } = history ?? {};
  const least = Math.max(...points.map((point) => total(point.finished)), 0) * SHOWN_PART_MIN;
  const drawn = (number) => (number ? Math.max(number, least) : 0);
  const red = points.map((point) => drawn(failures(point.finished)));
  const amber = points.map((point) => drawn(point.finished?.timed_out));
  const neutral = points.map((point) => Math.max(0, total(point.finished) - failures(point.finished) - (point.finished?.timed_out ?? 0)));
  const series = [
    { kind: "failure-bars", values: neutral.map((each, at) => (red[at] ? each + amber[at] + red[at] : null)) },
    { kind: "late-bars", values: neutral.map((each, at) => (amber[at] ? each + amber[at] : null)) },
    { kind: "bars", values: neutral },
  ];
  const sum = sumOf(points);
  const perSecond = statistics.value?.finished_per_second ?? 0;
  const note = total(sum) ? inWords(sum) || `all ${count(total(sum))} succeeded` : "nothing finished yet";
  const write = (at) => `${rate(total(points[at]?.finished) / seconds)} per s${points[at]?.finished ? `, ${inWords(points[at].finished) || "all succeeded"}` : ""}`;
  return html`<${Measure} title="Finished" number=${rate(perSecond)} unit="per s" note=${note}>
    <${Chart} label=${`Finished tasks: ${rate(perSecond)} per second; ${note}`} times=${times} series=${series} write=${write} />
  <//>`;
}

function Latency({ title, member, history }) {
  const { times = [], points = [] } = history ?? {};
  const of = (name) => points.map((point) => (point[member] ? Math.max(point[member][name], 0.001) : null));
  const last = points.findLast((point) => point[member])?.[member];
  const [number, unit] = last ? split(span(last.p50 * 1000)) : ["–", ""];
  const note = last ? `95 % under ${span(last.p95 * 1000)}` : "nothing yet";
  const series = [{ kind: "thin", values: of("p95") }, { kind: "line", values: of("p50") }];
  const write = (at) => (points[at]?.[member] ? `half under ${span(points[at][member].p50 * 1000)}, 95 % under ${span(points[at][member].p95 * 1000)}` : "nothing");
  return html`<${Measure} title=${title} number=${number} unit=${unit} note=${note}>
    <${Chart} label=${`${title}: half under ${number} ${unit}, ${note}`} times=${times} series=${series} write=${write} logarithmic />
  <//>`;
}

/** `4 min 10 s` as a large number and what stands beside it. */
function split(text) {
  const [number, ...unit] = text.split(" ");
  return [number, unit.join(" ")];
}
