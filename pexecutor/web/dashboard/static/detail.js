// All fields of one task. They are read again while the task is in flight; unchanged parts are left alone.

import { cancel, runAgain } from "./actions.js";
import { ApiError, get, reason, taskPath } from "./api.js";
import { byId, h, setText } from "./dom.js";
import { count, dateTime, span, took, words } from "./format.js";

const REFRESH_MS = 1000;
const AT_END_PX = 4;
const OVERLAP = 400;

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
		this.#dialog.replaceChildren(
			h("header", {}, h("h2", { id: "detail-title" }, record.name), h("span", { className: "mark" })),
			h("article", { tabIndex: 0, role: "region", ariaLabel: "Record" }),
			h("footer", {}, h("button", { onclick: () => this.#dialog.close() }, "Close")),
		);
		this.#dialog.showModal();
		this.#focusClose();
		this.#refresh();
	};

	async #refresh() {
		clearTimeout(this.#timer);
		const id = this.#id;
		const isWanted = () => id === this.#id && this.#dialog.open;
		let isOver;
		try {
			const record = await get(taskPath({ id }));
			isOver = record.outcome !== undefined;
			if (isWanted()) this.#render(record.outcome ?? record.state, content(record), this.#action(record));
		} catch (error) {
			isOver = error instanceof ApiError; // otherwise the connection is lost, as the banner says: try again
			if (isOver && isWanted()) this.#render("", [problem(reason(error))]);
		}
		if (!isOver && isWanted()) this.#timer = setTimeout(() => this.#refresh(), REFRESH_MS);
	}

	#render(state, content, action) {
		const [header, article, footer] = this.#dialog.children;
		header.lastChild.className = `mark ${state}`;
		setText(header.lastChild, words(state));
		if (article.children.length === content.length) content.forEach((part, at) => update(article.children[at], part));
		else article.replaceChildren(...content);
		const old = footer.children[1];
		if (old?.textContent === action?.textContent) return;
		old?.remove();
		if (action) footer.append(action);
		if (!this.#dialog.contains(document.activeElement)) this.#focusClose();
	}

	#focusClose() {
		this.#dialog.querySelector("footer button").focus();
	}

	#action(record) {
		const again = async () => (await runAgain(record)) && this.#dialog.close();
		const end = async () => (await cancel(record)) && this.#refresh();
		if (record.outcome) return h("button", { className: "primary", onclick: again }, "Run again");
		return h("button", { className: "danger", onclick: end }, "Cancel task");
	}
}

/** All parts, in order. Parts without content are hidden, so each part keeps its place at every refresh. */
function content(record) {
	const output = record.output ?? {};
	return [
		facts(record, output),
		problem(record.error),
		attempts(record.attempts),
		block("Params", Object.keys(record.params).length > 0 && json(record.params)),
		block("Result", record.result != null && json(record.result)),
		...["stdout", "stderr", "log", "body"].map((name) => block(name, output[name], `, ${count(output[`${name}_bytes`] ?? 0)} bytes`)),
	];
}

/** Change only what differs, so that a reader keeps the scroll position, the focus and the selection. */
function update(old, fresh) {
	if (old.isEqualNode(fresh)) return;
	const [from, to] = [old, fresh].map((part) => part.querySelector("pre"));
	if (!from) return old.replaceWith(fresh);
	old.hidden = fresh.hidden;
	setText(old.firstChild, fresh.firstChild.textContent);
	extend(from, to.textContent);
}

/** Show a longer text. The scroll position stays, or stays at the end if the reader was at the end. */
function extend(pre, text) {
	const isAtEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - AT_END_PX;
	const dropped = pre.textContent.indexOf(text.slice(0, OVERLAP)); // a long log loses its beginning
	if (dropped > 0) {
		const height = pre.scrollHeight;
		pre.textContent = pre.textContent.slice(dropped);
		pre.scrollTop -= height - pre.scrollHeight;
	}
	const shown = pre.textContent;
	if (text.startsWith(shown)) pre.append(text.slice(shown.length));
	else pre.textContent = text;
	if (isAtEnd) pre.scrollTop = pre.scrollHeight;
}

function facts(record, output) {
	const { started_at: started } = record;
	const rows = [
		["Handler", record.handler],
		["Priority", record.priority],
		["Tags", record.tags && record.tags.join(", ")],
		["Submitted", dateTime(record.submitted_at)],
		["Due", record.due_at && dateTime(record.due_at)],
		["Follows", record.follows],
		["Waits", record.blocked_by && record.blocked_by.join("; ")],
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
	return h("section", { hidden: all.length < 2 }, h("h3", {}, "Attempts"), h("ol", {}, rows));
}

const json = (value) => JSON.stringify(value, null, 2);
const problem = (text) => h("p", { className: "problem", hidden: !text }, text ?? "");

function block(title, text, note = "") {
	const pre = h("pre", { tabIndex: 0, role: "region", ariaLabel: title }, text || "");
	return h("section", { hidden: !text }, h("h3", {}, title, note), pre);
}
