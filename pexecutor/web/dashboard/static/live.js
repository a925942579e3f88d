// The stream of events, kept open; the only owner of the connection's state.

const RETRY_MS = 1000;
const RETRY_MS_MAX = 10_000;

export class Live {
	state = "connecting"; // or "live", "lost"
	#source;
	#timer;
	#retryMs = RETRY_MS;

	/** `on.anew` is called when all data must be read again, `on.state` at a change of state, the others with events. */
	constructor(on) {
		this.on = on;
	}

	open() {
		this.close();
		const source = (this.#source = new EventSource("events"));
		let isFirst = true; // later the browser sends the last event's id, and gets the missed events or a gap
		source.onopen = () => {
			this.#retryMs = RETRY_MS;
			this.#become("live");
			if (isFirst) this.on.anew();
			isFirst = false;
		};
		source.onerror = () => {
			this.#become("lost");
			if (source.readyState === EventSource.CLOSED) this.#reopen();
		};
		for (const kind of ["task", "progress", "drain"]) {
			source.addEventListener(kind, (event) => this.on[kind](JSON.parse(event.data)));
		}
		source.addEventListener("gap", () => this.on.anew());
	}

	close() {
		clearTimeout(this.#timer);
		this.#source?.close();
	}

	/** Reopen the stream: another request got no reply, so the stream is dead too, even without an error. */
	suspect() {
		if (this.state !== "live") return;
		this.#become("lost");
		this.#reopen();
	}

	#reopen() {
		this.close();
		this.#timer = setTimeout(() => this.open(), this.#retryMs);
		this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
	}

	#become(state) {
		if (state === this.state) return;
		this.state = state;
		this.on.state();
	}
}
