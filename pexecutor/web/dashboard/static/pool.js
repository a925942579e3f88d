// The pool: a cell for each worker. A task keeps its cell while it runs.

import { cancelButton, nameButton } from "./actions.js";
import { byId, h, setBar, setText } from "./dom.js";
import { clock, count, now, span } from "./format.js";

const CELLS_MAX = 240;
const LATE_AFTER = 1.5;

export class PoolView {
	#list = byId("pool");
	#cells = [];

	constructor(tasks, show) {
		Object.assign(this, { tasks, show });
	}

	render(poolSize) {
		while (this.#cells.length < Math.min(poolSize, CELLS_MAX)) this.#add();
		this.#assign();
		this.#cells.forEach((cell) => this.#fill(cell));
		const more = this.tasks.running.size - this.#cells.length;
		setText(byId("pool-title").nextElementSibling, more > 0 ? `and ${count(more)} more running` : `workers: ${count(poolSize)}`);
	}

	#add() {
		const cell = { time: h("span"), note: h("span", { className: "minor" }), bar: h("div", { className: "bar" }) };
		cell.name = nameButton(this.show, () => cell.record);
		cell.cancel = cancelButton(() => cell.record);
		cell.element = h("li", {}, h("div", {}, cell.name, cell.cancel), h("div", {}, cell.time, cell.note), cell.bar);
		this.#cells.push(cell);
		this.#list.append(cell.element);
	}

	#assign() {
		const { running } = this.tasks;
		const placed = new Set();
		for (const cell of this.#cells) {
			cell.record = running.get(cell.record?.id);
			placed.add(cell.record?.id);
		}
		const free = this.#cells.filter((cell) => !cell.record);
		for (const record of running.values()) {
			if (!free.length) break;
			if (!placed.has(record.id)) free.shift().record = record;
		}
	}

	#fill(cell) {
		const { record } = cell;
		const { elapsed, note, part, isLate } = record ? this.#how(record) : {};
		cell.element.className = record ? (isLate ? "late" : "") : "idle";
		cell.name.disabled = cell.cancel.hidden = !record;
		cell.bar.hidden = part === undefined;
		cell.bar.classList.toggle("guess", !record?.progress);
		setText(cell.name, record?.name ?? "idle");
		setText(cell.time, record ? clock(elapsed) : "");
		setText(cell.note, note ?? "");
		if (!record) return;
		cell.name.title = `${record.name} · ${record.handler}`;
		cell.cancel.ariaLabel = `Cancel ${record.name}`;
		if (part !== undefined) setBar(cell.bar, part, `${record.name}: ${Math.round(part * 100)} %`);
	}

	/** The progress of a task: as it reports, or else its run time compared with the usual one. */
	#how(record) {
		const elapsed = now() - Date.parse(record.started_at);
		const usual = this.tasks.usualMs(record);
		const { done, total } = record.progress ?? {};
		if (total) return { elapsed, note: `${count(done)} of ${count(total)}`, part: done / total };
		if (done !== undefined) return { elapsed, note: `${count(done)} done` };
		if (!usual) return { elapsed, note: record.handler };
		const isLate = elapsed > usual * LATE_AFTER + 1000;
		return { elapsed, note: `${isLate ? "usually" : "of about"} ${span(usual)}`, part: elapsed / usual, isLate };
	}
}
