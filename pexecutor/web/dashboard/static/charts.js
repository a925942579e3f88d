// Three charts of the last 15 minutes: finished tasks, their time in the queue, and their run time.

import { get } from "./api.js";
import { byId, h, setText, svg } from "./dom.js";
import { clockTime, now, rate, span } from "./format.js";

const WIDTH = 360;
const HEIGHT = 92;
const MINUTES = 15;
const OUTCOMES = ["succeeded", "failed", "timed_out", "abandoned", "cancelled"];

export class ChartsView {
	#charts = [
		new Chart("Finished", finished, bars),
		new Chart("Time in queue", spread("queue_seconds"), band),
		new Chart("Run time", spread("run_seconds"), band),
	];

	constructor() {
		byId("charts").append(...this.#charts.map((chart) => chart.figure));
	}

	async load() {
		const { interval_seconds: seconds, intervals } = await get("statistics/history");
		const known = new Map(intervals.map((each) => [Date.parse(each.begins_at), each]));
		const points = [];
		const last = Math.floor(now() / 1000 / seconds) * seconds * 1000;
		for (let at = last - (MINUTES * 60 - seconds) * 1000; at <= last; at += seconds * 1000) {
			const passed = Math.min(seconds, Math.max(1, (now() - at) / 1000)); // the last one has only begun
			points.push({ at, passed, ...known.get(at) });
		}
		for (const chart of this.#charts) chart.draw(points);
	}
}

/** `read` returns the values of an interval, with `text` and `top`; `mark` draws the values. */
class Chart {
	#points = [];
	#at = -1; // the index of the selected point; -1 selects the last one with values
	#value = h("b");
	#note = h("span", { className: "minor" });
	#top = h("span", { className: "minor" });
	#cursor = svg("line", { class: "cursor", y2: HEIGHT });
	#plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", tabindex: 0 });

	constructor(title, read, mark) {
		Object.assign(this, { title, read, mark });
		const [plot, caption] = [this.#plot, h("figcaption", {}, h("h2", {}, title), this.#value, this.#note)];
		const axis = h("p", { className: "minor" }, h("span", {}, `${MINUTES} min ago`), h("span", {}, "now"));
		this.figure = h("figure", {}, caption, this.#top, plot, axis);
		plot.ariaLabel = title;
		plot.onpointermove = (event) => this.#lookAt(Math.floor((event.offsetX / plot.clientWidth) * this.#points.length));
		plot.onpointerleave = plot.onblur = () => this.#lookAt(-1);
		plot.onkeydown = ({ key }) => {
			const by = { ArrowLeft: -1, ArrowRight: 1 }[key];
			if (by) this.#lookAt((this.#at < 0 ? this.#points.length : this.#at) + by);
		};
	}

	draw(points) {
		this.#points = points.map((point) => ({ at: point.at, ...this.read(point) }));
		const most = Math.max(...this.#points.map((point) => point.top ?? 0));
		const power = 10 ** Math.floor(Math.log10(most || 1));
		const limit = [1, 2, 5, 10].find((step) => step * power >= most) * power;
		const step = WIDTH / points.length;
		const marks = this.mark(this.#points, (index) => index * step, (value) => HEIGHT - (value / limit) * HEIGHT);
		this.#plot.replaceChildren(svg("line", { class: "base", x2: WIDTH, y1: HEIGHT, y2: HEIGHT }), ...marks, this.#cursor);
		setText(this.#top, most ? this.mark.write(limit) : "");
		this.#tell();
	}

	#lookAt(index) {
		this.#at = Math.min(index, this.#points.length - 1);
		this.#tell();
	}

	#tell() {
		const point = this.#points[this.#at] ?? this.#points.findLast((each) => each.text);
		setText(this.#value, point?.text ?? "–");
		setText(this.#note, point ? `${point.note ?? ""} ${clockTime(point.at)}` : "nothing yet");
		this.#plot.ariaLabel = `${this.title}: ${this.#value.textContent} ${this.#note.textContent}`;
		const x = ((this.#at + 0.5) * WIDTH) / this.#points.length;
		for (const end of ["x1", "x2"]) this.#cursor.setAttribute(end, x);
		this.#cursor.classList.toggle("off", this.#at < 0);
	}
}

function finished({ finished: counts, passed }) {
	if (!counts) return {};
	const parts = OUTCOMES.map((outcome) => (counts[outcome] ?? 0) / passed);
	const top = parts.reduce((a, b) => a + b);
	const failed = (counts.failed ?? 0) + (counts.timed_out ?? 0);
	return { parts, top, text: rate(top), note: failed ? `${failed} failed ·` : "" };
}

function spread(name) {
	return ({ [name]: found }) =>
		found && { ...found, top: found.p95, text: span(found.p50 * 1000), note: `95 % below ${span(found.p95 * 1000)} ·` };
}

function bars(points, x, y) {
	const draw = (point, index) => {
		let below = 0;
		return (point.parts ?? []).map((part, kind) => {
			const [from, to] = [y(below), y((below += part))];
			return svg("rect", { class: OUTCOMES[kind], x: x(index + 0.1), width: x(0.8), y: to, height: from - to });
		});
	};
	return points.flatMap(draw);
}
bars.write = rate;

/** A line at the median and a band up to the 95th percentile, with gaps where there are no values. */
function band(points, x, y) {
	const runs = [];
	points.forEach((point, index) => {
		if (!point.text) return;
		if (!points[index - 1]?.text) runs.push([]);
		for (const side of [0.1, 0.9]) runs.at(-1).push([x(index + side), y(point.p50), y(point.p95)]);
	});
	return runs.flatMap((run) => {
		const lower = run.map(([at, p50]) => `${at},${p50}`).join(" ");
		const upper = run.map(([at, , p95]) => `${at},${p95}`).reverse().join(" ");
		return [svg("polygon", { points: `${lower} ${upper}` }), svg("polyline", { points: lower })];
	});
}
band.write = (seconds) => span(seconds * 1000);
