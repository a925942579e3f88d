// How numbers, spans of time and times are written.

const counts = new Intl.NumberFormat("en");
const rates = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const clockFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const minuteFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const shortDayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const zoneFormat = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" });

/** A whole number with its thousands apart: `5,016`. */
export const count = (number) => counts.format(number);

/** A number of things, with the noun in the fitting form: `1 task`, `5,016 tasks`. */
export const countOf = (number, noun, plural = `${noun}s`) => `${count(number)} ${number === 1 ? noun : plural}`;

/** A number with three digits that count, such as a rate. */
export const rate = (number) => rates.format(number < 0.005 ? 0 : number);

const UNITS = [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]];

/** A span of time: `840 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`. */
export function span(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1).replace(".0", "")} s`;
  return parts(Math.round(seconds)).join(" ");
}

/** A span of time in whole seconds or larger units, for what counts up: `4 min 10 s`. */
export const wholeSpan = (ms) => parts(Math.floor(Math.max(0, ms) / 1000)).join(" ");

/** A span of time in its largest unit only: `4 min`. */
export const roughSpan = (ms) => parts(Math.floor(Math.max(0, ms) / 1000))[0];

function parts(seconds) {
  const [unit, size, lesser, part] = UNITS.find((each) => seconds >= each[1]) ?? ["s", 1, "", 1];
  const left = Math.floor((seconds % size) / part);
  return [`${Math.floor(seconds / size)} ${unit}`, ...(left ? [`${left} ${lesser}`] : [])];
}

/** A time relative to another one: `3 min ago`, `in 40 s`, `now`. */
export function relative(time, now) {
  const ms = now - time;
  if (Math.abs(ms) < 1000) return "now";
  return ms > 0 ? `${roughSpan(ms)} ago` : `in ${wholeSpan(-ms)}`;
}

/** The time of the day: `14:26:08`. */
export const clockTime = (time) => clockFormat.format(time);

/** The time of the day without seconds: `14:26`. */
export const minuteTime = (time) => minuteFormat.format(time);

/** A day of this year: `3 Dec`. */
export const shortDay = (time) => shortDayFormat.format(time);

/** The name of the reader's time zone at a time: `CET`. */
export const zoneName = (time) => zoneFormat.formatToParts(time).find((part) => part.type === "timeZoneName").value;

/** The reader's time zone: `Europe/Berlin`. */
export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** The reader's time zone and its name at a time: `Europe/Berlin (CET)`, or `UTC` alone. */
export const zoneText = (time) => (zone() === zoneName(time) ? zone() : `${zone()} (${zoneName(time)})`);

/** The exact time, to the millisecond, with its zone. */
export function exactTime(time) {
  const ms = String(time.getMilliseconds()).padStart(3, "0");
  return `${dayFormat.format(time)}, ${clockFormat.format(time)}.${ms} ${zoneName(time)}`;
}

const SIZES = ["bytes", "KiB", "MiB", "GiB"];

/** A number of bytes: `3.4 MiB`. */
export function bytes(number) {
  const power = number < 1024 ? 0 : Math.min(3, Math.floor(Math.log2(number) / 10));
  return `${rates.format(number / 1024 ** power)} ${SIZES[power]}`;
}

/** The words of a name of the API: `timed_out` is `timed out`. */
export const words = (name) => name.replaceAll("_", " ");

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/;

/** A name inside of a text: one that is written from right to left does not turn the words around it. */
export const isolated = (name) => (RIGHT_TO_LEFT.test(name) ? `\u2068${name}\u2069` : name);
