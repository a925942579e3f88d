// What waits: in start order, to be searched, cancelled and moved.

import { cancel, setPriority } from "./actions.js";
import { byId, h, setText } from "./dom.js";
import { ago, count, now, span } from "./format.js";
import { VirtualList } from "./list.js";

const ROW_PX = 40;
const PRIORITY_MAX = 100;

export class WaitingView {
  #isHeld = false;
  #total = 0;
  #shown = 0;

  constructor(tasks, showDetail) {
    this.tasks = tasks;
    this.showDetail = showDetail;
    this.search = byId("waiting-search");
    this.search.addEventListener("input", () => this.#show({ now: true }));
    this.list = new VirtualList(byId("waiting"), {
      rowHeight: ROW_PX,
      make: () => this.#make(),
      fill: (row, item) => this.#fill(row, item),
      empty: "Nothing waits.",
      held: (yes) => {
        this.#isHeld = yes;
        this.#note();
      },
    });
  }

  render(total) {
    this.#total = total;
    this.#show({});
  }

  #show(options) {
    const wanted = this.search.value.trim().toLowerCase();
    const { waiting } = this.tasks;
    const items = wanted ? waiting.filter((record) => record.name.toLowerCase().includes(wanted)) : waiting.slice();
    this.#shown = items.length;
    setText(this.list.empty, wanted ? "No waiting task has such a name." : "Nothing waits.");
    this.list.show(items, options);
    this.#note();
  }

  #note() {
    const searched = this.search.value.trim() ? `${count(this.#shown)} of ` : "";
    const part = this.tasks.complete ? "" : `, the first ${count(this.tasks.waiting.length)} are here`;
    const held = this.#isHeld ? " · holds still" : "";
    setText(byId("waiting-note"), `${searched}${count(this.#total)}${part}${held}`);
  }

  #make() {
    const row = {};
    row.name = h("button", { className: "name", onclick: () => this.showDetail(row.item.id) });
    row.when = h("span", { className: "minor" });
    row.priority = h("input", {
      type: "number", min: -PRIORITY_MAX, max: PRIORITY_MAX, step: 1, className: "priority",
      onchange: () => this.#move(row),
    });
    row.cancel = h("button", { className: "quiet", onclick: () => cancel(row.item) }, "Cancel");
    row.element = h("li", { className: "row" }, row.name, row.when, row.priority, row.cancel);
    return row;
  }

  #move(row) {
    if (row.priority.reportValidity() && row.priority.value !== "") setPriority(row.item, row.priority.valueAsNumber);
  }

  #fill(row, item) {
    const known = this.tasks.inFlight(item.id);
    const record = known ?? item;
    row.item = record;
    setText(row.name, record.name);
    row.name.title = `${record.name} · ${record.handler}`;
    const waits = known && record.state !== "running";
    setText(row.when, waits ? when(record) : known ? "started" : "ended");
    row.element.classList.toggle("gone", !waits);
    row.priority.ariaLabel = `Priority of ${record.name}`;
    row.cancel.ariaLabel = `Cancel ${record.name}`;
    row.priority.disabled = row.cancel.disabled = !waits;
    if (row.priority !== document.activeElement) row.priority.value = record.priority;
  }
}

function when(record) {
  if (record.follows) return `follows ${record.follows}`;
  if (record.due_at) return `in ${span(Date.parse(record.due_at) - now())}`;
  return ago(record.submitted_at);
}
