// The finished tasks, the latest first, filtered by outcome.

import { nameButton, runAgain } from "./actions.js";
import { byId, h, setText } from "./dom.js";
import { ago, count, span, took, words } from "./format.js";
import { VirtualList } from "./list.js";

const OUTCOMES = "succeeded failed timed_out cancelled abandoned".split(" ");

export class FinishedView {
	#outcome = byId("outcome");

	constructor(tasks, show) {
		this.tasks = tasks;
		this.list = new VirtualList(byId("finished"), { make: () => this.#make(show), fill });
		this.#outcome.append(...OUTCOMES.map((value) => h("option", { value }, words(value))));
		this.#outcome.onchange = () => this.render(true);
	}

	render(isNow) {
		const { finished, isRead } = this.tasks;
		const outcome = this.#outcome.value;
		const items = finished.filter((record) => !outcome || record.outcome === outcome);
		this.list.show(items, outcome ? "No finished task has this outcome." : isRead ? "No task has finished yet." : "Loading…", isNow);
		setText(byId("finished-title").nextElementSibling, `${outcome ? `${count(items.length)} of ` : ""}the last ${count(finished.length)}`);
	}

	#make(show) {
		const row = { mark: h("span"), took: h("span", { className: "minor took" }), when: h("span", { className: "minor" }) };
		row.name = nameButton(show, () => row.item);
		row.again = h("button", { className: "quiet", onclick: () => runAgain(row.item) }, "Run again");
		row.element = h("li", {}, row.mark, row.name, row.took, row.when, row.again);
		return row;
	}
}

function fill(row, record) {
	row.mark.className = `mark ${record.outcome}`;
	setText(row.mark, words(record.outcome));
	setText(row.name, record.name);
	row.name.title = record.error ?? record.name;
	row.again.ariaLabel = `Run again: ${record.name}`; // begins with the visible text, for users of speech control
	setText(row.took, record.started_at ? span(took(record)) : "");
	setText(row.when, ago(record.finished_at));
}
