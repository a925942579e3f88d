// A log in a scroll area. Only the chunks near the window are drawn, so its length does not matter.

import { bytes, exactTime } from "../components/format.js";
import { appendLine } from "./ansi.js";
import { CHUNK } from "./lines.js";

const AROUND_PX = 800;
const END_PX = 8;

/** The drawing of `lines` into `area`. It follows the end until the reader scrolls up. */
export class LogView {
  #area;
  #lines;
  #begin; // the time from which lines count
  #drawn = new Map(); // the element of each drawn chunk, by its index from the first chunk ever
  #heights = new Map(); // of chunks that have been drawn
  #above = document.createElement("div");
  #below = document.createElement("div");
  #lineHeight = 19;
  #frame = 0;
  #query = "";
  #current = -1;
  following = true;

  /** @param onFollow called when following begins or ends */
  constructor(area, lines, { begin, onFollow }) {
    [this.#area, this.#lines, this.#begin, this.onFollow] = [area, lines, begin, onFollow];
    area.replaceChildren(this.#above, this.#below);
    area.addEventListener("scroll", this.#onScroll, { passive: true });
  }

  close() {
    cancelAnimationFrame(this.#frame);
    this.#area.removeEventListener("scroll", this.#onScroll);
    this.#area.replaceChildren();
  }

  /** Draw in the next frame what has changed. */
  changed() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  /** Draw everything anew, such as after a change of the wrapping. */
  redraw() {
    for (const element of this.#drawn.values()) element.remove();
    this.#drawn.clear();
    this.#heights.clear();
    this.changed();
  }

  /** Follow the end, or stop to. */
  follow(on) {
    if (on !== this.following) this.onFollow((this.following = on));
    if (on) this.changed();
  }

  /** Mark a text, and the line `current` above others. */
  mark(query, current) {
    const isSame = query === this.#query;
    [this.#query, this.#current] = [query, current];
    if (isSame) this.#markCurrent();
    else this.redraw();
  }

  /** Scroll to a line. */
  show(number) {
    this.follow(false);
    const index = Math.floor(number / CHUNK);
    let top = 0;
    for (let at = this.#lines.dropped; at < index; at++) top += this.#heightOf(at);
    this.#area.scrollTop = top + (number % CHUNK) * this.#lineHeight - this.#area.clientHeight / 2;
    this.#draw();
    this.#area.querySelector(`[data-line="${number}"]`)?.scrollIntoView({ block: "center" });
  }

  #onScroll = () => {
    const { scrollHeight, scrollTop, clientHeight } = this.#area;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < END_PX;
    if (isAtEnd !== this.following) this.onFollow((this.following = isAtEnd));
    this.changed();
  };

  #heightOf(index) {
    return this.#heights.get(index) ?? (this.#lines.chunks[index - this.#lines.dropped]?.length ?? 0) * this.#lineHeight;
  }

  /** Forget chunks that the lines have dropped; the reader's place moves with what is above it. */
  #forget() {
    let gone = 0;
    for (const index of [...this.#heights.keys()].filter((each) => each < this.#lines.dropped)) {
      gone += this.#heights.get(index);
      this.#heights.delete(index);
      this.#drawn.get(index)?.remove();
      this.#drawn.delete(index);
    }
    if (gone && !this.following) this.#area.scrollTop -= gone;
  }

  #draw() {
    this.#forget();
    const { dropped, chunks } = this.#lines;
    const end = dropped + chunks.length;
    let heights = 0;
    for (let index = dropped; index < end; index++) heights += this.#heightOf(index);
    const top = this.following && this.#area.clientHeight < heights ? heights - this.#area.clientHeight : this.#area.scrollTop;
    const [from, to] = [top - AROUND_PX, top + this.#area.clientHeight + AROUND_PX];
    let [y, above, below] = [0, 0, 0];
    const wanted = [];
    for (let index = dropped; index < end; index++) {
      const height = this.#heightOf(index);
      if (y + height < from) above += height;
      else if (y > to) below += height;
      else wanted.push(index);
      y += height;
    }
    this.#drawOnly(wanted);
    this.#above.style.setProperty("height", `${above}px`);
    this.#below.style.setProperty("height", `${below}px`);
    for (const index of wanted) this.#heights.set(index, this.#drawn.get(index).offsetHeight);
    const line = this.#area.querySelector(".log__line");
    if (line && !this.#area.classList.contains("log__lines--wrap")) this.#lineHeight = line.offsetHeight;
    if (this.following) this.#area.scrollTop = this.#area.scrollHeight;
    this.#markCurrent();
  }

  #drawOnly(wanted) {
    const kept = new Set(wanted);
    for (const [index, element] of this.#drawn) {
      if (kept.has(index)) continue;
      element.remove();
      this.#drawn.delete(index);
    }
    let after = this.#above;
    for (const index of wanted) {
      const element = this.#drawn.get(index) ?? this.#begun(index, after);
      this.#fill(element, this.#lines.chunks[index - this.#lines.dropped]);
      after = element;
    }
  }

  #begun(index, after) {
    const element = document.createElement("div");
    this.#drawn.set(index, element);
    after.after(element);
    return element;
  }

  /** Add to a chunk's element the lines that it lacks. The last line may have grown. */
  #fill(element, lines) {
    const last = element.lastElementChild;
    if (last && last.textLength !== lines[element.childElementCount - 1].text?.length) last.remove();
    for (const line of lines.slice(element.childElementCount)) element.append(this.#lineElement(line));
  }

  #lineElement(line) {
    const element = document.createElement("div");
    if (line.missing !== undefined) {
      element.className = "log__gap";
      element.textContent = `${bytes(line.missing)} left out: the begin and the end of a long log are kept`;
      return element;
    }
    const [time, text] = [document.createElement("span"), document.createElement("span")];
    element.className = line.stream === "stderr" ? "log__line log__line--error" : "log__line";
    [time.className, text.className] = ["log__time", "log__text"];
    if (line.time) {
      time.textContent = elapsed(line.time - this.#begin);
      time.title = `${exactTime(new Date(line.time))}, ${line.stream}`;
    }
    appendLine(text, line.text, this.#query);
    element.append(time, text);
    element.dataset.line = line.number;
    element.textLength = line.text.length;
    return element;
  }

  #markCurrent() {
    this.#area.querySelectorAll(".log__mark--current").forEach((mark) => mark.classList.remove("log__mark--current"));
    if (!this.#query) return;
    this.#area.querySelectorAll(`[data-line="${this.#current}"] .log__mark`).forEach((mark) => mark.classList.add("log__mark--current"));
  }
}

/** A time since the begin of the attempt: `9.1 s`, `2:41.0`. */
export function elapsed(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  const rest = (seconds % 60).toFixed(1).padStart(4, "0");
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest.slice(0, 2)}`;
}
