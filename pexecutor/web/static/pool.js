// The pool: a cell for each worker. A task keeps its cell while it runs; which worker it is, only the page has made up.

import { cancel } from "./actions.js";
import { byId, h, setText } from "./dom.js";
import { count, since, span, wholeSpan } from "./format.js";

const CELLS_MAX = 240;
const CELLS_ROOMY = 24;
const LATE_AFTER = 1.5;

export class PoolView {
  #list = byId("pool");
  #cells = [];
  #cellOf = new Map(); // by task id

  constructor(tasks, showDetail) {
    this.tasks = tasks;
    this.showDetail = showDetail;
  }

  render(poolSize) {
    const wanted = Math.min(poolSize, CELLS_MAX);
    while (this.#cells.length < wanted) this.#add();
    while (this.#cells.length > wanted) this.#cells.pop().element.remove();
    this.#list.classList.toggle("dense", wanted > CELLS_ROOMY);
    this.#assign();
    for (const cell of this.#cells) this.#fill(cell);
    const more = this.tasks.running.size - this.#cellOf.size;
    setText(byId("pool-note"), more > 0 ? `and ${count(more)} more that run` : `${count(poolSize)} ${poolSize === 1 ? "worker" : "workers"}`);
  }

  #add() {
    const cell = { record: undefined };
    cell.name = h("button", { className: "name", onclick: () => this.showDetail(cell.record.id) });
    cell.cancel = h("button", { className: "quiet", onclick: () => cancel(cell.record) }, "Cancel");
    cell.time = h("span");
    cell.note = h("span", { className: "minor" });
    cell.bar = h("progress", { max: 1 });
    cell.element = h("li", { className: "cell" },
      h("div", { className: "line" }, cell.name, cell.cancel),
      h("div", { className: "line" }, cell.time, cell.note),
      cell.bar);
    this.#cells.push(cell);
    this.#list.append(cell.element);
  }

  #assign() {
    for (const [id, cell] of this.#cellOf) {
      const record = this.tasks.running.get(id);
      if (record && this.#cells.includes(cell)) cell.record = record;
      else {
        this.#cellOf.delete(id);
        cell.record = undefined;
      }
    }
    const free = this.#cells.filter((cell) => !cell.record);
    for (const record of this.tasks.running.values()) {
      if (this.#cellOf.has(record.id)) continue;
      const cell = free.shift();
      if (!cell) break;
      cell.record = record;
      this.#cellOf.set(record.id, cell);
    }
  }

  #fill(cell) {
    const { record } = cell;
    cell.element.classList.toggle("idle", !record);
    cell.cancel.hidden = cell.bar.hidden = !record;
    cell.name.disabled = !record;
    setText(cell.name, record ? record.name : "idle");
    cell.name.title = record ? record.name : "";
    if (!record) {
      setText(cell.time, "");
      setText(cell.note, "");
      cell.element.classList.remove("late");
      return;
    }
    cell.cancel.ariaLabel = `Cancel ${record.name}`;
    const elapsed = Math.max(0, since(record.started_at));
    setText(cell.time, `${wholeSpan(elapsed)}`);
    const { part, note, isLate } = how(record, elapsed, this.tasks.usualMs(record));
    setText(cell.note, note);
    cell.bar.ariaLabel = `How far ${record.name} is: ${note}`;
    cell.bar.classList.toggle("guessed", !record.progress);
    cell.element.classList.toggle("late", isLate);
    if (part === undefined) cell.bar.removeAttribute("value");
    else cell.bar.value = part;
  }
}

/** How far a task is: what it says of itself, or else its time against what is usual. */
function how(record, elapsed, usual) {
  const { done, total } = record.progress ?? {};
  if (total) return { part: Math.min(1, done / total), note: `${count(done)} of ${count(total)}`, isLate: false };
  if (done !== undefined) return { note: `${count(done)} done`, isLate: false };
  if (!usual) return { note: record.handler, isLate: false };
  const isLate = elapsed > usual * LATE_AFTER && elapsed - usual > 1000;
  const note = isLate ? `usually ${span(usual)}` : `of about ${span(usual)}`;
  return { part: Math.min(1, elapsed / usual), note, isLate };
}
