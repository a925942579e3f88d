// A list of any length: only the visible rows are in the document, and they are reused. While the pointer or the focus
// is in the list, it does not move, so that a click hits the row that the user aimed at.

import { h, setText } from "./dom.js";

const ROW_PX = 36;
const ROWS_AHEAD = 6;

export class VirtualList {
	#items = [];
	#next; // the items to show when the list is no longer held
	#rows = new Map(); // by item's id
	#free = [];
	#canvas = h("ul");
	#empty = h("p", { className: "empty" });

	/** `make` returns a row, whose `element` is shown; `fill` puts an item into the row. */
	constructor(viewport, { make, fill }) {
		Object.assign(this, { viewport, make, fill });
		viewport.append(this.#canvas, this.#empty);
		viewport.addEventListener("scroll", () => this.#draw(), { passive: true });
		viewport.addEventListener("pointerleave", () => this.#release());
		viewport.addEventListener("focusout", () => setTimeout(() => this.#release()));
		new ResizeObserver(() => this.#draw()).observe(viewport);
	}

	/** Show the items, or the text `empty` if there are none; `isNow` updates the list even while it is held. */
	show(items, empty, isNow = false) {
		setText(this.#empty, items.length ? "" : empty);
		const isHeld = !isNow && this.#items.length > 0 && this.viewport.matches(":hover, :focus-within");
		this.#next = isHeld ? items : undefined;
		if (!isHeld) this.#items = items;
		this.viewport.classList.toggle("held", isHeld);
		this.#draw();
	}

	#release() {
		if (this.#next) this.show(this.#next, this.#empty.textContent);
	}

	#draw() {
		const { scrollTop, clientHeight } = this.viewport;
		this.#canvas.style.height = `${this.#items.length * ROW_PX}px`;
		const first = Math.max(0, Math.floor(scrollTop / ROW_PX) - ROWS_AHEAD);
		const seen = this.#items.slice(first, Math.ceil((scrollTop + clientHeight) / ROW_PX) + ROWS_AHEAD);
		this.#freeAllBut(new Set(seen.map((item) => item.id)));
		seen.forEach((item, index) => this.#order(this.#put(item, first + index), index));
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

	#put(item, index) {
		const row = this.#rows.get(item.id) ?? this.#free.pop() ?? this.#add();
		this.#rows.set(item.id, row);
		row.item = item;
		row.element.hidden = false;
		row.element.style.transform = `translateY(${index * ROW_PX}px)`;
		row.element.ariaPosInSet = index + 1;
		row.element.ariaSetSize = this.#items.length;
		this.fill(row, item);
		return row.element;
	}

	/** Keep the rows in order in the document, for the keyboard and screen readers, without losing the focus. */
	#order(element, index) {
		const { children } = this.#canvas;
		const move = this.#canvas.moveBefore ?? this.#canvas.insertBefore;
		if (children[index] !== element) move.call(this.#canvas, element, children[index]);
	}

	#add() {
		const row = this.make();
		this.#canvas.append(row.element);
		return row;
	}
}
