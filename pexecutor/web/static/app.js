// The page: it reads what there is, follows the events, and draws. Everything else is in the modules it puts together.

import { attempt } from "./actions.js";
import { ApiError, ask, readiness } from "./api.js";
import { ChartsView } from "./charts.js";
import { DetailView } from "./detail.js";
import { byId, setText } from "./dom.js";
import { FinishedView } from "./finished.js";
import { clockTime, count, rate } from "./format.js";
import { Live } from "./live.js";
import { PoolView } from "./pool.js";
import { startSession } from "./session.js";
import { SubmitView } from "./submit.js";
import { Tasks } from "./tasks.js";
import { WaitingView } from "./waiting.js";

const DRAW_MS = 200;
const POLL_MS = 5000;
const POLL_SOON_MS = 700;
const CHARTS_MS = 5000;
const ANEW_MS = 2000;

const STATES = { connecting: "Connecting", live: "Live", lost: "Not connected" };

const tasks = new Tasks();
const detail = new DetailView();
const submit = new SubmitView();
const charts = new ChartsView();
const pool = new PoolView(tasks, detail.show);
const waiting = new WaitingView(tasks, detail.show);
const finished = new FinishedView(tasks, detail.show);

// Owned by look(): the last answer of /readyz, and when it came.
let ready;
let answeredAt;

const live = new Live({
  task: (record) => {
    tasks.apply(record);
    changed();
  },
  progress: (told) => {
    tasks.progress(told);
    draw();
  },
  drain: () => look(),
  anew: () => readAnew(),
  changed: (state) => {
    byId("connection").dataset.state = state;
    setText(byId("connection"), STATES[state]);
    if (state === "live") look();
    showBanner();
  },
});

/** At most once in so many ms, and once more at the end of them if it was called meanwhile. */
function paced(ms, action) {
  let timer;
  let isWanted = false;
  const run = () => {
    timer = undefined;
    if (!isWanted) return;
    isWanted = false;
    timer = setTimeout(run, ms);
    action();
  };
  return () => {
    isWanted = true;
    if (timer === undefined) run();
  };
}

const draw = paced(DRAW_MS, () => requestAnimationFrame(drawAll));
const lookSoon = paced(POLL_SOON_MS, () => look());
const readCharts = paced(CHARTS_MS, () => charts.load().catch(() => {}));
const readAnew = paced(ANEW_MS, async () => {
  await Promise.all([tasks.load(draw), submit.load()]).catch(unreachable);
  readCharts();
});

function changed() {
  draw();
  lookSoon();
  readCharts();
}

/** Ask how the server is. A stream that has died without a word is found out here. */
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
  if (!ready?.statistics) return;
  const { statistics } = ready;
  const { store } = statistics;
  drawNumbers(statistics, store);
  pool.render(statistics.pool_size);
  waiting.render(store.pending + store.scheduled);
  finished.render();
  showBanner();
}

function drawNumbers(statistics, store) {
  const queued = store.pending + store.scheduled;
  setText(byId("n-running"), count(store.running));
  setText(byId("n-running-of"), `of ${count(statistics.pool_size)}`);
  setText(byId("n-queue"), count(queued));
  setText(byId("n-queue-of"), `of ${count(store.queue_size)}`);
  setText(byId("n-rate"), rate(statistics.finished_per_second));
  setText(byId("n-submitted"), count(statistics.submitted));
  byId("m-running").value = store.running / statistics.pool_size;
  byId("m-queue").value = queued / store.queue_size;
  byId("m-queue").classList.toggle("full", queued >= store.queue_size * 0.9);
  const { succeeded = 0, failed = 0, timed_out: timedOut = 0, cancelled = 0 } = store.finished;
  const parts = [[succeeded, "succeeded"], [failed, "failed"], [timedOut, "timed out"], [cancelled, "cancelled"]];
  setText(byId("n-finished"), parts.filter(([number]) => number).map(([number, word]) => `${count(number)} ${word}`).join(" · ") || "none so far");
  const waits = statistics.waiting_for_room ? ` · ${count(statistics.waiting_for_room)} wait for room` : "";
  setText(byId("n-refused"), `${count(statistics.duplicates)} duplicate · ${count(statistics.rejected)} refused${waits}`);
}

/** What an operator has to know at once: one thing, the gravest. */
function showBanner() {
  const phase = ready?.statistics?.phase;
  const [kind, text] = message(phase);
  const banner = byId("banner");
  banner.hidden = !kind;
  banner.dataset.kind = kind;
  setText(banner, text);
  const takesNothing = phase === "draining" || phase === "stopped";
  byId("drain").disabled = takesNothing;
  byId("new-task").disabled = takesNothing;
}

function message(phase) {
  if (live.state === "lost") {
    const seen = answeredAt ? ` What you see is from ${clockTime(answeredAt)}.` : "";
    const stopped = phase === "draining" || phase === "stopped" ? "The server has stopped." : "The connection is lost; trying again.";
    return ["lost", stopped + seen];
  }
  if (phase === "draining") return ["draining", `Draining: nothing new is taken, ${count(ready.statistics.store.running)} still run. Then the server stops.`];
  if (phase === "stopped") return ["draining", "Drained: the server stops now."];
  if (ready?.status === 503) return ["lost", `Tasks cannot be taken: ${ready.detail}`];
  return ["", ""];
}

function offerDrain() {
  const dialog = byId("drain-dialog");
  byId("drain").addEventListener("click", () => {
    const { store } = ready.statistics;
    const left = store.pending + store.scheduled;
    const fate = store.durable ? "are kept for the next start" : "live in memory and are lost";
    const those = left ? ` ${count(left)} that wait ${fate}.` : "";
    setText(byId("drain-text"), `It takes no more tasks and starts none. ${count(store.running)} that run have time to end, then the server stops.${those}`);
    dialog.showModal();
  });
  byId("drain-yes").addEventListener("click", async () => {
    dialog.close();
    await attempt("Could not drain", () => ask("POST", "drain"));
    look();
  });
}

function start() {
  offerDrain();
  startSession((signedIn) => {
    if (signedIn) live.open();
    else live.close();
  });
  live.open();
  look();
  setInterval(() => byId("session").open || look(), POLL_MS);
  setInterval(draw, 1000); // time goes on where nothing happens
  setInterval(readCharts, 3 * CHARTS_MS);
}

start();
