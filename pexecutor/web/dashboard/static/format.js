// The formats of numbers and times.

// The server's clock minus this one's, in ms.
let offset = 0;

export function noteServerTime(date) {
	const found = Date.parse(date) - Date.now();
	offset = Math.abs(found) > 2000 ? found : 0; // the Date header has whole seconds
}

/** The server's time, in ms since 1970. */
export const now = () => Date.now() + offset;

const counts = new Intl.NumberFormat("en");
const rates = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
export const count = (number) => counts.format(number);
export const rate = (number) => `${number < 0.05 ? 0 : rates.format(number)}/s`;

const UNITS = [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]];

/** A span of time: `840 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`. */
export function span(ms) {
	const seconds = Math.max(0, ms) / 1000;
	if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
	if (seconds < 10) return `${seconds.toFixed(1)} s`;
	const [unit, size, lesser, part] = UNITS.find((each) => seconds >= each[1]) ?? ["s", 1];
	const left = Math.floor((seconds % size) / part);
	return `${Math.floor(seconds / size)} ${unit}${left ? ` ${left} ${lesser}` : ""}`;
}

/** A span of time that counts up by the second: whole seconds below 10 s. */
export const clock = (ms) => (ms < 10_000 ? `${Math.max(0, Math.floor(ms / 1000))} s` : span(ms));

export const ago = (time) => `${clock(now() - Date.parse(time)).split(" ", 2).join(" ")} ago`;

export const clockTime = (time) => new Date(time).toLocaleTimeString("en-GB");
export const dateTime = (time) => new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** How long a task's last attempt took, in ms. */
export const took = (record) => Date.parse(record.finished_at) - Date.parse(record.started_at);

export const words = (name) => name.replaceAll("_", " ");
