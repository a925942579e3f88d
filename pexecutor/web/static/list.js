// A list of any length of which only what can be seen is in the document. Rows are used again; each stays with its item
// as long as that can be seen, so focus and clicks stay where they were meant.
//
// While somebody points at the list or is in it with the keyboard, it holds still: what a click hits is what was aimed at.

import { h } from "./dom.js";

const ROWS_AHEAD = 6;

export class VirtualList {
  #items = [];
  #next; // what came while the list was held
  #rows = new Map(); // by item's id
  #free = [];

  /**
   * @param viewport the element that scrolls.
   * @param options `rowHeight` in px; `make()` a row `{ element, … }`; `fill(row, item)`; `empty` a text;
   *   `held(yes)` is called when the list begins or ceases to hold still.
   */
  constructor(viewport, { rowHeight, make, fill, empty, held = () => {} }) {
    Object.assign(this, { viewport, rowHeight, make, fill, held });
    this.empty = h("p", { className: "empty" }, empty);
    this.canvas = h("ul", { className: "canvas" });
    viewport.append(this.canvas, this.empty);
    viewport.addEventListener("scroll", () => this.#draw(), { passive: true });
    for (const event of ["pointerleave", "focusout"]) viewport.addEventListener(event, () => setTimeout(() => this.#release()));
    new ResizeObserver(() => this.#draw()).observe(viewport);
  }

  get #isHeld() {
    return this.viewport.matches(":hover, :focus-within");
  }

  /** Show these items; `now` also while the list is held. */
  show(items, { now = false } = {}) {
    if (!now && this.#isHeld && this.#items.length) {
      this.#next = items;
      this.held(true);
    } else {
      this.#items = items;
      this.#next = undefined;
    }
    this.#draw();
  }

  #release() {
    if (!this.#next || this.#isHeld) return;
    this.held(false);
    this.show(this.#next);
  }

  #draw() {
    const { viewport, rowHeight } = this;
    this.empty.hidden = this.#items.length > 0;
    this.canvas.style.height = `${this.#items.length * rowHeight}px`;
    const first = Math.max(0, Math.floor(viewport.scrollTop / rowHeight) - ROWS_AHEAD);
    const behind = Math.ceil((viewport.scrollTop + viewport.clientHeight) / rowHeight) + ROWS_AHEAD;
    const seen = this.#items.slice(first, behind);
    this.#freeAllBut(new Set(seen.map((item) => item.id)));
    seen.forEach((item, index) => this.#place(item, first + index));
  }

  #freeAllBut(ids) {
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      if (row.element.contains(document.activeElement)) this.viewport.focus({ preventScroll: true });
      row.element.hidden = true;
      this.#rows.delete(id);
      this.#free.push(row);
    }
  }

  #place(item, index) {
    let row = this.#rows.get(item.id);
    if (!row) {
      row = this.#free.pop() ?? this.#add();
      this.#rows.set(item.id, row);
      row.element.hidden = false;
    }
    if (row.index !== index) row.element.style.transform = `translateY(${index * this.rowHeight}px)`;
    row.index = index;
    row.element.ariaPosInSet = index + 1;
    row.element.ariaSetSize = this.#items.length;
    this.fill(row, item);
  }

  #add() {
    const row = this.make();
    this.canvas.append(row.element);
    return row;
  }
}
