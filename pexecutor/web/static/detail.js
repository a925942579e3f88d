// One task, whole: its facts, its attempts, its result and what it printed. Read again while it is in flight.

import { cancel, runAgain } from "./actions.js";
import { ApiError, get, taskPath } from "./api.js";
import { byId, h } from "./dom.js";
import { count, dateTime, span, words } from "./format.js";

const REFRESH_MS = 1000;
const TEXTS = ["stdout", "stderr", "log", "body"];

export class DetailView {
  #dialog = byId("detail");
  #id;
  #timer;
  #shown;

  constructor() {
    this.#dialog.addEventListener("close", () => clearTimeout(this.#timer));
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
  }

  show = async (id) => {
    this.#id = id;
    this.#shown = undefined;
    this.#dialog.replaceChildren(h("p", { className: "empty" }, "…"));
    this.#dialog.showModal();
    await this.#refresh();
  };

  async #refresh() {
    clearTimeout(this.#timer);
    const id = this.#id;
    try {
      const record = await get(taskPath(id));
      if (id !== this.#id || !this.#dialog.open) return;
      this.#render(record);
      if (record.state !== "finished") this.#timer = setTimeout(() => this.#refresh(), REFRESH_MS);
    } catch (error) {
      const message = error instanceof ApiError ? error.message : "The server does not answer.";
      if (!this.#shown) this.#dialog.replaceChildren(h("div", { className: "body" }, h("p", {}, message)), this.#footer());
    }
  }

  #render(record) {
    const text = JSON.stringify(record);
    if (text === this.#shown) return;
    const focused = this.#shown && document.activeElement?.dataset.action;
    this.#shown = text;
    const scrolled = this.#dialog.querySelector(".body")?.scrollTop ?? 0;
    const body = h("div", { className: "body" }, facts(record), problem(record), attempts(record), values(record), output(record));
    const state = h("span", { className: "mark", "data-outcome": record.outcome ?? record.state }, words(record.outcome ?? record.state));
    this.#dialog.replaceChildren(
      h("header", {}, h("h2", { id: "detail-title" }, record.name), state), body, this.#footer(record));
    body.scrollTop = scrolled;
    this.#dialog.querySelector(`[data-action="${focused || "close"}"]`)?.focus();
  }

  #footer(record) {
    const close = () => this.#dialog.close();
    const again = async () => (await runAgain(record)) && close();
    const end = async () => (await cancel(record)) && this.#refresh();
    return h("footer", {},
      h("button", { onclick: close, "data-action": "close" }, "Close"),
      record?.state === "finished" && h("button", { className: "primary", onclick: again, "data-action": "again" }, "Run again"),
      record && record.state !== "finished" && h("button", { className: "danger", onclick: end, "data-action": "cancel" }, "Cancel task"));
  }
}

function facts(record) {
  const from = record.started_at && Date.parse(record.started_at);
  const rows = [
    ["Handler", record.handler],
    ["Priority", record.priority],
    ["Submitted", dateTime(record.submitted_at)],
    ["Due", record.due_at && dateTime(record.due_at)],
    ["Follows", record.follows],
    ["Started", from && dateTime(from)],
    ["Took", record.finished_at && from && span(Date.parse(record.finished_at) - from)],
    ["Progress", record.progress && `${count(record.progress.done)}${record.progress.total ? ` of ${count(record.progress.total)}` : ""}`],
    ["Duration", record.handler === "sleep" && span(record.duration)],
    ["Timeout", record.timeout && span(record.timeout)],
    ["Retries", record.retries || undefined],
    ["Exit code", record.output?.exit_code],
    ["Status", record.output?.status],
    ["Id", record.id],
  ].filter(([, value]) => value !== undefined && value !== null && value !== false);
  return h("dl", {}, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]));
}

const problem = (record) => record.error && h("p", { className: "problem" }, record.error);

function attempts(record) {
  if (record.attempts.length < 2 && !(record.retries && record.attempts.length)) return undefined;
  const rows = record.attempts.map(({ started_at, ended_at, outcome, error }, index) =>
    h("tr", {}, h("td", {}, index + 1), h("td", {}, words(outcome)),
      h("td", {}, span(Date.parse(ended_at) - Date.parse(started_at))), h("td", {}, error ?? "")));
  const head = h("tr", {}, ...["", "Outcome", "Took", "Error"].map((text) => h("th", { scope: "col" }, text)));
  return h("section", {}, h("h3", {}, "Attempts"), h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows)));
}

function values(record) {
  const shown = [["Params", Object.keys(record.params).length ? record.params : undefined], ["Result", record.result ?? undefined]];
  return shown.filter(([, value]) => value !== undefined).map(([title, value]) => block(title, JSON.stringify(value, null, 2)));
}

function output(record) {
  return TEXTS.filter((name) => record.output?.[name]).map((name) => {
    const text = record.output[name];
    const bytes = record.output[`${name}_bytes`];
    const cut = bytes > new TextEncoder().encode(text).length ? `, the end of ${count(bytes)} bytes` : "";
    return block(`${name}${cut}`, text);
  });
}

const block = (title, text) => h("section", {}, h("h3", {}, title), h("pre", { tabIndex: 0 }, text));
