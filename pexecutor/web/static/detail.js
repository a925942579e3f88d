// One task, whole. Read again while it is in flight.

import { cancel, runAgain } from "./actions.js";
import { get, reason, taskPath } from "./api.js";
import { byId, h } from "./dom.js";
import { count, dateTime, span, took, words } from "./format.js";

const REFRESH_MS = 1000;

export class DetailView {
	#dialog = byId("detail");
	#id;
	#timer;

	constructor() {
		this.#dialog.onclose = () => clearTimeout(this.#timer);
		this.#dialog.onclick = ({ target }) => target === this.#dialog && this.#dialog.close();
	}

	show = (record) => {
		this.#id = record.id;
		this.#dialog.replaceChildren();
		this.#dialog.showModal();
		this.#refresh();
	};

	async #refresh() {
		clearTimeout(this.#timer);
		const id = this.#id;
		const isWanted = () => id === this.#id && this.#dialog.open;
		try {
			const record = await get(taskPath({ id }));
			if (!isWanted()) return;
			this.#render(record.name, record.outcome ?? record.state, content(record), this.#action(record));
			if (!record.outcome) this.#timer = setTimeout(() => this.#refresh(), REFRESH_MS);
		} catch (error) {
			if (isWanted()) this.#render(id, "", [reason(error)]);
		}
	}

	#render(title, state, content, action) {
		const { activeElement } = document;
		const scrolled = this.#dialog.querySelector("article")?.scrollTop ?? 0;
		const body = h("article", { tabIndex: 0 }, ...content);
		const close = h("button", { onclick: () => this.#dialog.close() }, "Close");
		this.#dialog.replaceChildren(
			h("header", {}, h("h2", { id: "detail-title" }, title), h("span", { className: `mark ${state}` }, words(state))),
			body,
			h("footer", {}, close, action),
		);
		body.scrollTop = scrolled;
		(activeElement?.textContent === action?.textContent ? action : close).focus();
	}

	#action(record) {
		const again = async () => (await runAgain(record)) && this.#dialog.close();
		const end = async () => (await cancel(record)) && this.#refresh();
		if (record.outcome) return h("button", { className: "primary", onclick: again }, "Run again");
		return h("button", { className: "danger", onclick: end }, "Cancel task");
	}
}

function content(record) {
	const output = record.output ?? {};
	const texts = ["stdout", "stderr", "log", "body"].filter((name) => output[name]);
	return [
		facts(record, output),
		record.error && h("p", { className: "problem" }, record.error),
		record.attempts.length > 1 && attempts(record.attempts),
		Object.keys(record.params).length > 0 && block("Params", json(record.params)),
		record.result != null && block("Result", json(record.result)),
		...texts.map((name) => block(`${name}, ${count(output[`${name}_bytes`])} bytes`, output[name])),
	].filter(Boolean);
}

function facts(record, output) {
	const { started_at: started } = record;
	const rows = [
		["Handler", record.handler],
		["Priority", record.priority],
		["Submitted", dateTime(record.submitted_at)],
		["Due", record.due_at && dateTime(record.due_at)],
		["Follows", record.follows],
		["Started", started && dateTime(started)],
		["Took", record.finished_at && started && span(took(record))],
		["Duration", record.duration ? span(record.duration) : null],
		["Timeout", record.timeout && span(record.timeout)],
		["Retries", record.retries || null],
		["Exit code", output.exit_code],
		["Status", output.status],
		["Id", record.id],
	];
	const known = rows.filter(([, value]) => value != null);
	return h("dl", {}, known.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]));
}

function attempts(all) {
	const rows = all.map(({ started_at: began, ended_at: ended, outcome, error = "" }) =>
		h("li", {}, `${words(outcome)} after ${span(Date.parse(ended) - Date.parse(began))}${error && `: ${error}`}`));
	return h("section", {}, h("h3", {}, "Attempts"), h("ol", {}, rows));
}

const json = (value) => JSON.stringify(value, null, 2);
const block = (title, text) => h("section", {}, h("h3", {}, title), h("pre", {}, text));
