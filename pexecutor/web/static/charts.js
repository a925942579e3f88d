// Three charts of the last quarter of an hour: what finished, how long it had waited, how long it ran.

import { get } from "./api.js";
import { byId, h, setText, svg } from "./dom.js";
import { clockTime, count, now, rate, span } from "./format.js";

const WIDTH = 360;
const HEIGHT = 92;
const OUTCOMES = ["succeeded", "failed", "timed_out", "cancelled"];

export class ChartsView {
  #points = [];
  #interval = 15_000;

  constructor() {
    this.charts = [
      new Chart("Finished", (point) => rate(total(point) / this.#seconds(point)) + "/s", (...where) => this.#bars(...where), details),
      new Chart("Time in queue", (point) => middle(point.queue_seconds), (...where) => band("queue_seconds", ...where), (point) => tail(point.queue_seconds)),
      new Chart("Run time", (point) => middle(point.run_seconds), (...where) => band("run_seconds", ...where), (point) => tail(point.run_seconds)),
    ];
    byId("charts").append(...this.charts.map((chart) => chart.figure));
  }

  async load() {
    const history = await get("statistics/history");
    this.#interval = history.interval_seconds * 1000;
    const known = new Map(history.intervals.map((point) => [Date.parse(point.begins_at), point]));
    const last = Math.floor(now() / this.#interval) * this.#interval;
    const first = last - 15 * 60_000 + this.#interval;
    this.#points = [];
    for (let at = first; at <= last; at += this.#interval) this.#points.push({ finished: {}, ...known.get(at), at });
    for (const chart of this.charts) chart.draw(this.#points);
  }

  /** How much of an interval has passed: the last one has only begun. */
  #seconds = (point) => Math.min(this.#interval, Math.max(1000, now() - point.at)) / 1000;

  #bars(points, scaled) {
    const step = WIDTH / points.length;
    const { top, y } = scaled(points.map((point) => total(point) / this.#seconds(point)), (value) => `${rate(value)}/s`);
    const bars = points.flatMap((point, index) => {
      let below = 0;
      return OUTCOMES.filter((outcome) => point.finished[outcome]).map((outcome) => {
        const from = y(below / this.#seconds(point));
        below += point.finished[outcome];
        const to = y(below / this.#seconds(point));
        return svg("rect", { class: outcome, x: index * step + 0.5, width: step - 1, y: to, height: Math.max(0.75, from - to) });
      });
    });
    return { marks: bars, top };
  }
}

class Chart {
  #points = [];
  #at; // the point that is looked at; none means the last with anything in it

  constructor(title, value, draw, detail) {
    Object.assign(this, { title, value, drawMarks: draw, detail });
    this.readout = h("b");
    this.note = h("span", { className: "minor" });
    this.plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", tabindex: 0 });
    this.scale = h("span", { className: "scale minor" });
    this.figure = h("figure", {},
      h("figcaption", {}, h("h2", {}, title), this.readout, this.note),
      h("div", { className: "plot" }, this.plot, this.scale),
      h("div", { className: "line minor", ariaHidden: "true" }, h("span", {}, "15 min ago"), h("span", {}, "now")));
    this.plot.addEventListener("pointermove", (event) => this.#lookAt(Math.floor((event.offsetX / this.plot.clientWidth) * this.#points.length)));
    this.plot.addEventListener("pointerleave", () => this.#lookAt(undefined));
    this.plot.addEventListener("blur", () => this.#lookAt(undefined));
    this.plot.addEventListener("keydown", (event) => this.#step(event));
  }

  draw(points) {
    this.#points = points;
    const { marks, top } = this.drawMarks(points, scaled);
    this.cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT });
    this.plot.replaceChildren(svg("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }), ...marks, this.cursor);
    setText(this.scale, top);
    this.#read();
  }

  #step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    this.#lookAt((this.#at ?? this.#points.length - 1) + by);
  }

  #lookAt(index) {
    this.#at = index === undefined ? undefined : Math.max(0, Math.min(this.#points.length - 1, index));
    this.#read();
  }

  #read() {
    const point = this.#points[this.#at] ?? this.#points.findLast((each) => total(each) || each.started);
    setText(this.readout, point ? this.value(point) : "–");
    setText(this.note, point ? [this.detail(point), clockTime(point.at)].filter(Boolean).join(" · ") : "nothing yet");
    this.plot.setAttribute("aria-label", `${this.title}: ${this.readout.textContent}, ${this.note.textContent}`);
    const x = this.#at === undefined ? -9 : ((this.#at + 0.5) * WIDTH) / this.#points.length;
    this.cursor?.setAttribute("x1", x);
    this.cursor?.setAttribute("x2", x);
  }
}

/** Where values go on the plot, up to a round number above the greatest. */
function scaled(values, write) {
  const most = Math.max(...values, 0);
  const power = 10 ** Math.floor(Math.log10(most || 1));
  const limit = most ? [1, 2, 5, 10].find((step) => step * power >= most) * power : 1;
  return { top: most ? write(limit) : "", y: (value) => HEIGHT - (value / limit) * (HEIGHT - 2) };
}

/** A line at the middle, and a band up to what nineteen of twenty stay below. */
function band(name, points, scale) {
  const { top, y } = scale(points.map((point) => point[name]?.p95 ?? 0), (value) => span(value * 1000));
  const x = (index) => ((index + 0.5) * WIDTH) / points.length;
  const marks = runs(points, name).flatMap((run) => {
    if (run.length === 1) run = [run[0] - 0.4, run[0] + 0.4];
    const at = (index, part) => `${x(index)},${y(points[Math.round(index)][name][part])}`;
    const lower = run.map((index) => at(index, "p50"));
    const upper = run.map((index) => at(index, "p95"));
    return [
      svg("polygon", { class: "band", points: [...lower, ...upper.toReversed()].join(" ") }),
      svg("polyline", { class: "tail", points: upper.join(" ") }),
      svg("polyline", { class: "middle", points: lower.join(" ") }),
    ];
  });
  return { marks, top };
}

/** The indexes at which there is a value, in unbroken runs. */
function runs(points, name) {
  const found = [];
  points.forEach((point, index) => {
    if (!point[name]) return;
    if (points[index - 1]?.[name]) found.at(-1).push(index);
    else found.push([index]);
  });
  return found;
}

const total = (point) => OUTCOMES.reduce((sum, outcome) => sum + (point.finished[outcome] ?? 0), 0);
const middle = (percentiles) => (percentiles ? span(percentiles.p50 * 1000) : "–");
const tail = (percentiles) => percentiles && `95 % below ${span(percentiles.p95 * 1000)}`;

function details(point) {
  const failed = (point.finished.failed ?? 0) + (point.finished.timed_out ?? 0);
  return failed ? `${count(failed)} failed` : "";
}
