// The lines of a log that the page holds: joined from their parts, bounded in number, and searched.

import { plain } from "./ansi.js";

export const CHUNK = 100;
const CHUNKS_MAX = 1500;

/** The lines, in chunks of a hundred. Owned by one view; only `append` and `clear` change them. */
export class LogLines {
  chunks = []; // of lines: { number, time, stream, text, missing }
  dropped = 0; // chunks that were dropped from the begin
  total = 0;
  bytes = 0;
  streams = new Set();
  #shows;

  /** @param shows whether a line is shown: a filter */
  constructor(shows = () => true) {
    this.#shows = shows;
  }

  clear() {
    this.chunks = [];
    this.dropped = this.total = this.bytes = 0;
  }

  /** Add lines; a part of a line is added to its begin. Returns how many chunks were dropped. */
  append(lines) {
    for (const line of lines) {
      this.bytes += line.text?.length ?? line.missing;
      if (line.stream) this.streams.add(line.stream);
      if (!this.#shows(line)) continue;
      const last = this.chunks.at(-1)?.at(-1);
      if (last?.text && line.text && last.stream === line.stream && !last.text.endsWith("\n")) last.text += line.text;
      else this.#push(line);
    }
    const over = Math.max(0, this.chunks.length - CHUNKS_MAX);
    this.chunks.splice(0, over);
    this.dropped += over;
    return over;
  }

  #push(line) {
    if (!this.chunks.length || this.chunks.at(-1).length === CHUNK) this.chunks.push([]);
    this.chunks.at(-1).push({ ...line, number: this.total++ });
  }

  /** The numbers of the lines that contain a text in lower case, from a line on. */
  search(query, from = 0) {
    const found = [];
    for (const chunk of this.chunks) {
      if (chunk.at(-1).number < from) continue;
      for (const line of chunk) if (line.number >= from && line.text && plain(line.text).toLowerCase().includes(query)) found.push(line.number);
    }
    return found;
  }
}
