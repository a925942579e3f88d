// The stream of events, kept open. The one owner of the EventSource, and of what is known of the connection.

const RETRY_MS_MAX = 10_000;

export class Live {
  #source;
  #retry;
  #retryMs = 1000;
  state = "connecting"; // or "live", "lost"

  /**
   * @param handlers `task`, `progress`, `drain` get an event's data; `anew` is called when what is known is to be read
   *   anew, `changed` when the state is another one.
   */
  constructor(handlers) {
    this.handlers = handlers;
  }

  /** Connect, from now on and for as long as it takes. */
  open() {
    this.close();
    const source = (this.#source = new EventSource("events"));
    let fresh = true; // a browser that reconnects says what it had, and a gap is told
    source.onopen = () => {
      this.#retryMs = 1000;
      this.#become("live");
      if (fresh) this.handlers.anew();
      fresh = false;
    };
    source.onerror = () => {
      this.#become("lost");
      if (source.readyState === EventSource.CLOSED) this.#reopenLater();
    };
    for (const kind of ["task", "progress", "drain"]) {
      source.addEventListener(kind, (event) => this.handlers[kind](JSON.parse(event.data)));
    }
    source.addEventListener("gap", () => this.handlers.anew());
  }

  /** Be no longer connected. */
  close() {
    clearTimeout(this.#retry);
    this.#source?.close();
  }

  /** Somebody else has found that the server does not answer: the stream is dead, even if nothing has told it so. */
  suspect() {
    if (this.state === "lost") return;
    this.#become("lost");
    this.#source?.close();
    this.#reopenLater();
  }

  #reopenLater() {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.open(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.handlers.changed(state);
  }
}
