// What has ended, the latest first, by outcome.

import { runAgain } from "./actions.js";
import { byId, h, setText } from "./dom.js";
import { ago, count, span, words } from "./format.js";
import { VirtualList } from "./list.js";

const ROW_PX = 40;
const OUTCOMES = ["all", "succeeded", "failed", "timed_out", "cancelled"];

export class FinishedView {
  #outcome = "all";
  #isHeld = false;
  #isLoading = false;

  constructor(tasks, showDetail) {
    this.tasks = tasks;
    this.showDetail = showDetail;
    this.filter = byId("finished-filter");
    this.filter.append(...OUTCOMES.map((outcome) => this.#choice(outcome)));
    this.list = new VirtualList(byId("finished"), {
      rowHeight: ROW_PX,
      make: () => this.#make(),
      fill: (row, item) => this.#fill(row, item),
      empty: "Nothing here yet.",
      held: (yes) => {
        this.#isHeld = yes;
        this.render();
      },
    });
    this.list.viewport.addEventListener("scroll", () => this.#loadOlderAtTheEnd(), { passive: true });
  }

  render(options = {}) {
    const all = this.tasks.finished;
    const items = this.#outcome === "all" ? all.slice() : all.filter((record) => record.outcome === this.#outcome);
    setText(byId("finished-note"), `the last ${count(all.length)}${this.#isHeld ? " · holds still" : ""}`);
    this.list.show(items, options);
  }

  #choice(outcome) {
    const choose = () => {
      this.#outcome = outcome;
      this.list.viewport.scrollTop = 0;
      this.render({ now: true });
    };
    const input = h("input", { type: "radio", name: "outcome", value: outcome, checked: outcome === "all", onchange: choose });
    return h("label", {}, input, h("span", {}, words(outcome)));
  }

  #make() {
    const row = {};
    row.mark = h("span", { className: "mark" });
    row.name = h("button", { className: "name", onclick: () => this.showDetail(row.item.id) });
    row.took = h("span", { className: "minor took" });
    row.when = h("span", { className: "minor" });
    row.again = h("button", { className: "quiet", onclick: () => runAgain(row.item) }, "Run again");
    row.element = h("li", { className: "row" }, row.mark, row.name, row.took, row.when, row.again);
    return row;
  }

  #fill(row, record) {
    row.item = record;
    row.mark.dataset.outcome = record.outcome;
    setText(row.mark, words(record.outcome));
    setText(row.name, record.name);
    row.name.title = record.error ? `${record.name}: ${record.error}` : record.name;
    row.again.ariaLabel = `Run ${record.name} again`;
    setText(row.took, record.started_at ? span(Date.parse(record.finished_at) - Date.parse(record.started_at)) : "");
    setText(row.when, ago(record.finished_at));
  }

  async #loadOlderAtTheEnd() {
    const { viewport } = this.list;
    if (this.#isLoading || viewport.scrollTop + viewport.clientHeight < viewport.scrollHeight - ROW_PX) return;
    this.#isLoading = true;
    try {
      if (await this.tasks.loadOlder()) this.render({ now: true });
    } catch {
      // the connection tells of itself, and the next scroll asks again
    } finally {
      this.#isLoading = false;
    }
  }
}
