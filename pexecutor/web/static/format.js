// How numbers and times are written.

// The server's clock minus this one's, in ms; set by api.js from what replies say.
let clockOffset = 0;

export function noteServerTime(date) {
  const offset = Date.parse(date) - Date.now();
  clockOffset = Math.abs(offset) > 2000 ? offset : 0; // the header knows whole seconds only
}

/** The server's time in ms since 1970. */
export const now = () => Date.now() + clockOffset;

const counting = new Intl.NumberFormat("en");
export const count = (number) => counting.format(number);

const rates = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
export const rate = (number) => (number < 0.05 ? "0" : rates.format(number));

/** A span of time, in two units at most: `840 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`. */
export function span(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  for (const [below, size, unit, rest, part] of [
    [3600, 60, "min", 1, "s"],
    [86400, 3600, "h", 60, "min"],
    [Infinity, 86400, "d", 3600, "h"],
  ]) {
    if (seconds >= below) continue;
    const left = Math.floor((seconds % size) / rest);
    return `${Math.floor(seconds / size)} ${unit}${left ? ` ${left} ${part}` : ""}`;
  }
}

/** The same in whole seconds, for what changes each second. */
export const wholeSpan = (ms) => (ms < 60_000 ? `${Math.max(0, Math.floor(ms / 1000))} s` : span(ms));

export const since = (time) => now() - Date.parse(time);

export function ago(time) {
  const ms = since(time);
  return ms < 5000 ? "just now" : `${wholeSpan(ms).split(" ").slice(0, 2).join(" ")} ago`;
}

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const dayAndClock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
export const clockTime = (time) => clock.format(new Date(time));
export const dateTime = (time) => dayAndClock.format(new Date(time));

/** `timed_out` as people write it. */
export const words = (name) => name.replaceAll("_", " ");
