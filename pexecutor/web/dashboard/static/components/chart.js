// A chart of one measure over time, with a crosshair that says the exact values.

import uPlot from "../vendor/uplot.js";
import { clockTime, minuteTime } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";

const HEIGHT = 64;
const BARS = uPlot.paths.bars({ size: [0.75, 24], align: 0 });

/** The colour of a token, as the canvas needs it. */
function ink(token) {
  const probe = document.createElement("i");
  probe.hidden = true;
  probe.style.setProperty("color", `var(--color-${token})`);
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const POINTS = { show: true, size: 4, width: 0, filter: alone };
const NO_POINTS = { show: false };

const DRAWN = {
  line: () => ({ points: { ...POINTS, fill: () => ink("text-muted") }, stroke: () => ink("text-muted"), width: 1.5 }),
  area: () => ({ stroke: () => ink("text-muted"), fill: () => ink("neutral-soft"), width: 1.5 }),
  thin: () => ({ points: { ...POINTS, fill: () => ink("neutral-solid") }, stroke: () => ink("neutral-solid"), width: 1 }),
  bound: () => ({ stroke: () => ink("border-control"), width: 1, dash: [4, 3] }),
  bars: () => ({ fill: () => ink("neutral-solid"), width: 0, paths: BARS }),
  "late-bars": () => ({ fill: () => ink("late-solid"), width: 0, paths: BARS }),
  "failure-bars": () => ({ fill: () => ink("failure-solid"), width: 0, paths: BARS }),
};

/**
 * A chart.
 * @param label what it shows, in words, for screen readers
 * @param times the times of the points, in s since 1970
 * @param series lists of values: each with `kind` (line, area, thin, bound, bars, late-bars, failure-bars) and `values`
 * @param write the exact values at an index, in words
 * @param logarithmic whether the axis of the values is logarithmic
 */
export function Chart({ label, times, series, write, logarithmic = false, top }) {
  const [box, plot] = [useRef(), useRef()];
  const [at, setAt] = useState(null);
  const data = [times, ...series.map(({ values }) => values)];
  const kinds = series.map(({ kind }) => kind).join(" ");
  useEffect(() => {
    const element = box.current;
    const chart = (plot.current = new uPlot(options({ kinds: kinds.split(" "), logarithmic, width: element.clientWidth, top, setAt }), data, element));
    const resize = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }));
    resize.observe(element);
    const redraw = () => chart.redraw();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("themechange", redraw);
    scheme.addEventListener("change", redraw);
    return () => {
      removeEventListener("themechange", redraw);
      scheme.removeEventListener("change", redraw);
      resize.disconnect();
      chart.destroy();
    };
  }, [kinds, logarithmic, top]);
  useEffect(() => plot.current.setData(data), [times, series]);
  const move = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !times.length) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(times.length - 1, (at ?? times.length) + by));
    plot.current.setCursor({ left: plot.current.valToPos(times[index], "x"), top: 1 });
    setAt(index);
  };
  const text = at !== null && times[at] !== undefined ? `${clockTime(times[at] * 1000)} · ${write(at)}` : null;
  return html`<div class="chart">
    <div ref=${box} class="chart__plot" role="img" tabindex="0" aria-label=${text ? `${label}. ${text}` : label} onKeyDown=${move} onBlur=${() => setAt(null)}></div>
    <div class="chart__axis" aria-hidden="true">${text
      ? html`<span class="chart__value" title=${text}>${text}</span>`
      : html`<span>${times.length ? minuteTime(times[0] * 1000) : ""}</span><span>${times.length ? minuteTime(times.at(-1) * 1000) : ""}</span>`}</div>
  </div>`;
}

function options({ kinds, logarithmic, width, top, setAt }) {
  const range = logarithmic ? logRange : (_, __, most) => [0, Math.max(top ?? 0, most ?? 0) * 1.08 || 1];
  return {
    width,
    height: HEIGHT,
    pxAlign: 1,
    padding: [2, 0, 0, 0],
    legend: { show: false },
    axes: [{ show: false }, { show: false }],
    scales: { x: { time: true }, y: { distr: logarithmic ? 3 : 1, range } },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    series: [{}, ...kinds.map((kind) => ({ points: NO_POINTS, spanGaps: false, ...DRAWN[kind]() }))],
    hooks: { setCursor: [(chart) => setAt(chart.cursor.left < 0 ? null : chart.cursor.idx ?? null)] },
  };
}

/** The points that have no neighbours, so that no line shows them. */
function alone(chart, index, isShown) {
  if (!isShown || index === 0) return null;
  const values = chart.data[index];
  const found = [];
  for (let at = 0; at < values.length; at++) {
    if (values[at] !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null) found.push(at);
  }
  return found;
}

/** A range of whole powers of ten around the values. */
function logRange(_, least, most) {
  if (!(most > 0)) return [0.001, 1];
  const [from, to] = [10 ** Math.floor(Math.log10(Math.max(least, 1e-4))), 10 ** Math.ceil(Math.log10(most))];
  return from === to ? [from, to * 10] : [from, to];
}
