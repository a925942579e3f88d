// The tasks that this page knows: read from the listings, updated by the events. The only owner of the records.

import { get, pages } from "./api.js";
import { took } from "./format.js";

const WAITING_MAX = 50_000;
const FINISHED_MAX = 2000;
const DURATIONS_KEPT = 15;
const DURATION_KEYS_MAX = 5000;

const RANK = { pending: 0, scheduled: 1 };
const acceptance = (record) => (record.acceptance ??= Number(record.id.split("-")[1]));

/** The start order: pending before scheduled, then by priority, then by acceptance. */
const compare = (a, b) => RANK[a.state] - RANK[b.state] || b.priority - a.priority || acceptance(a) - acceptance(b);

export class Tasks {
	waiting = []; // in start order
	running = new Map(); // by id
	finished = []; // the latest first
	isComplete = true; // whether `waiting` has all waiting tasks
	isRead = false; // whether all listings have been read once
	#waitingById = new Map();
	#durations = new Map(); // how long the last runs took, by handler, and by handler and name
	#reading = 0; // the number of the current reading of the listings; 0 for none
	#readings = 0;
	#told = new Set(); // ids of events that came during a reading: they are newer than the listings

	/** Read all listings again; `show` is called after each part. */
	async load(show) {
		const reading = (this.#reading = ++this.#readings);
		this.#told.clear();
		const [running, finished] = await Promise.all(["running", "finished"].map((state) => get(`tasks/${state}`)));
		const waiting = [];
		this.#take(running, finished);
		for (const state of ["pending", "scheduled"]) {
			for await (const page of pages(`tasks?state=${state}`)) {
				if (reading !== this.#reading) return; // a later one has begun
				waiting.push(...page);
				if (waiting.length >= WAITING_MAX) break;
				if (waiting.length === page.length) this.#takeWaiting(waiting), show();
			}
		}
		this.#takeWaiting(waiting);
		this.isComplete = waiting.length < WAITING_MAX;
		this.isRead = true;
		this.#reading = 0;
		show();
	}

	/** Apply the record of an event. */
	apply(record) {
		const { id, state } = record;
		if (this.#reading) this.#told.add(id);
		const waits = this.#waitingById.get(id);
		if (waits) this.waiting.splice(this.#place(waits), 1);
		this.#waitingById.delete(id);
		this.running.delete(id);
		if (state === "running") this.running.set(id, record);
		else if (state === "finished") this.#end(record);
		else this.#wait(record);
	}

	progress({ id, progress }) {
		if (this.running.has(id)) this.running.get(id).progress = progress;
	}

	inFlight = (id) => this.#waitingById.get(id) ?? this.running.get(id);

	/** How long a task with this handler and name usually takes, in ms, if known. */
	usualMs(record) {
		if (record.handler === "sleep") return record.duration;
		const known = this.#durations.get(`${record.handler} ${record.name}`) ?? this.#durations.get(record.handler);
		return known && [...known].sort((a, b) => a - b)[known.length >> 1];
	}

	#take(running, finished) {
		const isNews = (record) => !this.#told.has(record.id);
		for (const id of this.running.keys()) if (!this.#told.has(id)) this.running.delete(id);
		for (const record of running.filter(isNews)) this.running.set(record.id, record);
		this.finished = [...this.finished.filter((record) => !isNews(record)), ...finished.filter(isNews)];
		for (const record of finished.reverse()) this.#noteDuration(record);
	}

	#takeWaiting(records) {
		const told = this.waiting.filter((record) => this.#told.has(record.id));
		this.waiting = [...records.filter((record) => !this.#told.has(record.id)), ...told].sort(compare);
		this.#waitingById = new Map(this.waiting.map((record) => [record.id, record]));
	}

	#wait(record) {
		const place = this.#place(record);
		if (!this.isComplete && !this.#reading && place === this.waiting.length) return; // its place is after the part that was read
		this.waiting.splice(place, 0, record);
		this.#waitingById.set(record.id, record);
	}

	#end(record) {
		this.finished.unshift(record);
		if (this.finished.length > FINISHED_MAX) this.finished.pop();
		this.#noteDuration(record);
	}

	#noteDuration(record) {
		if (record.outcome !== "succeeded") return;
		for (const key of [record.handler, `${record.handler} ${record.name}`]) {
			const known = this.#durations.get(key) ?? [];
			this.#durations.delete(key);
			this.#durations.set(key, [...known, took(record)].slice(-DURATIONS_KEPT));
		}
		if (this.#durations.size > DURATION_KEYS_MAX) this.#durations.delete(this.#durations.keys().next().value);
	}

	/** The index at which a record is, or belongs, in `waiting`. */
	#place(record) {
		let [low, high] = [0, this.waiting.length];
		while (low < high) {
			const middle = (low + high) >> 1;
			if (compare(this.waiting[middle], record) < 0) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}
