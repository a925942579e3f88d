// The waiting tasks, in start order, with search, cancel and change of priority.

import { cancelButton, nameButton, setPriority } from "./actions.js";
import { byId, h, setText } from "./dom.js";
import { ago, count, now, span } from "./format.js";
import { VirtualList } from "./list.js";

export class WaitingView {
	#search = byId("search");
	#total = 0;

	constructor(tasks, show) {
		this.tasks = tasks;
		this.list = new VirtualList(byId("waiting"), { make: () => this.#make(show), fill: (row, item) => this.#fill(row, item) });
		this.#search.oninput = () => this.#show(true);
	}

	render(total) {
		this.#total = total;
		this.#show();
	}

	#show(isNow) {
		const wanted = this.#search.value.trim().toLowerCase();
		const { waiting, isComplete, isRead } = this.tasks;
		const items = waiting.filter((record) => record.name.toLowerCase().includes(wanted));
		this.list.show(items, wanted ? "No waiting task matches." : isRead ? "No tasks are waiting." : "Loading…", isNow);
		const among = isComplete ? "" : `, of which the first ${count(waiting.length)} are shown`;
		setText(byId("waiting-title").nextElementSibling, `${wanted ? `${count(items.length)} of ` : ""}${count(this.#total)}${among}`);
	}

	#make(show) {
		const row = { when: h("span", { className: "minor" }) };
		const move = ({ target }) => target.value && target.reportValidity() && setPriority(row.item, target.valueAsNumber);
		row.name = nameButton(show, () => row.item);
		row.priority = h("input", { type: "number", min: -100, max: 100, title: "Priority", onchange: move });
		row.cancel = cancelButton(() => row.item);
		row.element = h("li", {}, row.name, row.when, row.priority, row.cancel);
		return row;
	}

	#fill(row, item) {
		const record = this.tasks.inFlight(item.id);
		const waits = record !== undefined && record.state !== "running";
		setText(row.name, item.name);
		setText(row.when, waits ? when(record) : record ? "started" : "ended");
		row.name.title = `${item.name} · ${item.handler}`;
		row.element.classList.toggle("gone", !waits);
		row.priority.ariaLabel = `Priority of ${item.name}`;
		row.cancel.ariaLabel = `Cancel ${item.name}`;
		row.priority.disabled = row.cancel.disabled = !waits;
		if (row.priority !== document.activeElement) row.priority.value = (record ?? item).priority;
	}
}

function when({ follows, due_at: due, submitted_at: submitted }) {
	if (follows) return `follows ${follows}`;
	return due ? `in ${span(Date.parse(due) - now())}` : ago(submitted);
}
