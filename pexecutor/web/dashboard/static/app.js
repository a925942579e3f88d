// The page: reads the state of the server, follows the events, draws.

import { attempt } from "./actions.js";
import { ApiError, ask, readiness } from "./api.js";
import { ChartsView } from "./charts.js";
import { DetailView } from "./detail.js";
import { byId, setBar, setText } from "./dom.js";
import { FinishedView } from "./finished.js";
import { clockTime, count, rate, words } from "./format.js";
import { Live } from "./live.js";
import { showNodes } from "./nodes.js";
import { PoolView } from "./pool.js";
import { startSession } from "./session.js";
import { SubmitView } from "./submit.js";
import { Tasks } from "./tasks.js";
import { WaitingView } from "./waiting.js";

const DRAW_MS = 200;
const LOOK_MS = 700;
const ANEW_MS = 2000;
const IDLE_MS = 5000;

const tasks = new Tasks();
const { show } = new DetailView();
const submit = new SubmitView();
const charts = new ChartsView();
const pool = new PoolView(tasks, show);
const waiting = new WaitingView(tasks, show);
const finished = new FinishedView(tasks, show);

// Owned by look(): the last answer of /readyz, and when it came.
let ready;
let answeredAt;

const live = new Live({
	task(record) {
		tasks.apply(record);
		changed();
	},
	progress(told) {
		tasks.progress(told);
		draw();
	},
	drain: () => look(),
	anew: () => readAnew(),
	state: () => showState(),
});

/** The action, at most once in `ms`; calls in between are combined into one at the end of that time. */
function paced(ms, action) {
	let timer;
	let isWanted = false;
	const run = () => {
		timer = isWanted ? setTimeout(run, ms) : undefined;
		if (isWanted) action();
		isWanted = false;
	};
	return () => {
		isWanted = true;
		if (!timer) run();
	};
}

const draw = paced(DRAW_MS, () => requestAnimationFrame(drawAll));
const lookSoon = paced(LOOK_MS, () => look());
const readCharts = paced(IDLE_MS, () => Promise.all([charts.load(), showNodes()]).catch(unreachable));
const readAnew = paced(ANEW_MS, () => {
	Promise.all([tasks.load(draw), submit.load(), look()]).catch(unreachable);
	readCharts();
});

function changed() {
	draw();
	lookSoon();
	readCharts();
}

/** Read the state of the server; a failure also reveals a stream that has died unnoticed. */
async function look() {
	try {
		ready = await readiness();
		answeredAt = Date.now();
		draw();
	} catch (error) {
		unreachable(error);
	}
}

function unreachable(error) {
	if (!(error instanceof ApiError)) live.suspect();
}

function drawAll() {
	if (!ready) return;
	const { statistics } = ready;
	drawNumbers(statistics, statistics.store);
	pool.render(statistics.pool_size);
	waiting.render(statistics.store.pending + statistics.store.scheduled);
	finished.render();
	showState();
}

function drawNumbers(statistics, store) {
	const queued = store.pending + store.scheduled;
	const ended = Object.entries(store.finished);
	const waits = statistics.waiting_for_room ? ` · ${count(statistics.waiting_for_room)} wait for room` : "";
	number("running", store.running, `of ${count(statistics.pool_size)}`);
	number("queue", queued, `of ${count(store.queue_size)}`);
	number("finished", ended.reduce((sum, [, times]) => sum + times, 0), `${rate(statistics.finished_per_second)} in the last minute`,
		ended.map(([outcome, times]) => `${count(times)} ${words(outcome)}`).join(" · "));
	number("taken", statistics.submitted, "",
		`${count(statistics.duplicates)} duplicate · ${count(statistics.rejected)} refused${waits}`);
	setBar(byId("m-running"), store.running / statistics.pool_size, "Busy workers");
	setBar(byId("m-queue"), queued / store.queue_size, "Used places in the queue");
	byId("m-queue").classList.toggle("full", queued > store.queue_size * 0.9);
}

function number(name, value, among, note) {
	const shown = byId(`n-${name}`);
	setText(shown, count(value));
	setText(shown.nextElementSibling, among);
	if (note) setText(shown.parentElement.nextElementSibling, note);
}

/** Show the state of the connection, and the banner if there is an alarm. */
function showState() {
	const [kind, text] = alarm(ready?.statistics);
	const [banner, connection] = [byId("banner"), byId("connection")];
	connection.className = live.state;
	setText(connection, { connecting: "Connecting", live: "Live", lost: "Not connected" }[live.state]);
	banner.hidden = !text;
	banner.className = kind;
	setText(banner, text);
	byId("drain").disabled = byId("new-task").disabled = !ready || isStopping();
}

const isStopping = () => ["draining", "stopped"].includes(ready?.statistics.phase);

function alarm(statistics) {
	if (live.state === "lost") {
		const seen = answeredAt ? ` The page shows the state of ${clockTime(answeredAt)}.` : "";
		return ["lost", (isStopping() ? "The server has stopped." : "Connection lost; reconnecting.") + seen];
	}
	const { running } = statistics?.store ?? {};
	if (isStopping()) return ["", `Draining: no new tasks are accepted, and the server stops when the running tasks have ended (${count(running)}).`];
	if (ready?.status === 503) return ["lost", `The server accepts no tasks: ${ready.detail}`];
	return ["", ""];
}

function offerDrain() {
	const dialog = byId("drain-dialog");
	byId("drain").onclick = () => {
		const { running, pending, scheduled, durable } = ready.statistics.store;
		const fate = durable ? "kept" : "lost, as they are only in memory";
		const text = `No more tasks are accepted or started. Running tasks (${count(running)}) have time to end, then the server stops.`;
		setText(dialog.querySelector("p"), `${text} Waiting tasks (${count(pending + scheduled)}) are ${fate}.`);
		dialog.showModal();
	};
	byId("drain-yes").onclick = async () => {
		dialog.close();
		await attempt("drain", () => ask("POST", "drain"));
		look();
	};
}

const isSigningIn = () => byId("session").open;
const follow = () => isSigningIn() || live.open();

/** Check first whether a token is needed: without one the stream would fail without a reason. */
async function start() {
	await look();
	follow();
}

function idle() {
	if (document.hidden || isSigningIn()) return;
	look();
	readCharts();
}

// A browser limits its connections to one server, over all tabs: a hidden page holds no connection.
document.onvisibilitychange = () => (document.hidden ? live.close() : follow());

startSession(() => live.close());
offerDrain();
start();
setInterval(idle, IDLE_MS);
setInterval(() => live.state === "lost" || draw(), 1000); // times are relative to now, so they change without events
