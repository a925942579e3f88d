// When a schedule is due, in words.

import { span } from "./format.js";

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const ORDINALS = ["", "first", "second", "third", "fourth", "fifth"];
const NUMBERS = /^\d+(,\d+)*$/;

const two = (number) => String(number).padStart(2, "0");
const listed = (parts) => (parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`);

/** When a schedule is due: `every 6 h`, `every day at 03:00`, or the cron expression if it has no simple words. */
export const timesInWords = ({ every, cron }) => (every ? `every ${span(every)}` : cronInWords(cron) ?? cron);

/** A cron expression in words, or null if it has no simple ones. */
export function cronInWords(cron) {
  const [minute, hour, day, month, weekday] = cron.trim().split(/\s+/);
  const days = daysInWords(day, weekday);
  if (days === null) return null;
  const within = month === "*" ? "" : rangeInWords(month, MONTHS, 1);
  const times = timesOfDay(minute, hour);
  if (within === null || times === null) return null;
  const some = [days, within && `in ${within}`].filter(Boolean).join(" ");
  if (times.startsWith("at")) return `${some || "every day"} ${times}`;
  return [times, some].filter(Boolean).join(", ");
}

/** `at 03:00 and 12:00`, or `every 5 min`. */
function timesOfDay(minute, hour) {
  const step = /^\*\/(\d+)$/;
  if (hour === "*") {
    if (minute === "*") return "every minute";
    if (step.test(minute)) return `every ${step.exec(minute)[1]} min`;
    if (minute === "0") return "every hour";
    return NUMBERS.test(minute) ? `every hour at ${listed(minute.split(",").map((each) => `:${two(each)}`))}` : null;
  }
  if (!/^\d+$/.test(minute)) return null;
  if (step.test(hour)) return `every ${step.exec(hour)[1]} h${minute === "0" ? "" : ` at :${two(minute)}`}`;
  if (!NUMBERS.test(hour)) return null;
  return `at ${listed(hour.split(",").map((each) => `${two(each)}:${two(minute)}`))}`;
}

/** The days on which times are: empty for every day, null if there are no simple words. */
function daysInWords(day, weekday) {
  if (day !== "*" && weekday !== "*") return null;
  if (weekday !== "*") {
    const nth = /^(\w+)#([1-5])$/.exec(weekday);
    if (nth) return `${ORDINALS[nth[2]]} ${nameOf(nth[1], DAYS, 0)} of the month`;
    return rangeInWords(weekday, DAYS, 0);
  }
  if (day === "*") return "";
  if (day === "L") return "on the last day";
  if (!NUMBERS.test(day)) return null;
  return `on ${day.includes(",") ? "days" : "day"} ${listed(day.split(","))}`;
}

/** A list of names and ranges of them: `Mon to Fri`, `Mon, Wed and Fri`. */
function rangeInWords(text, names, first) {
  const parts = text.split(",").map((part) => {
    const ends = part.split("-").map((each) => nameOf(each, names, first));
    return ends.length > 2 || ends.includes(null) ? null : ends.join(" to ");
  });
  return parts.includes(null) ? null : listed(parts);
}

function nameOf(text, names, first) {
  if (/^\d+$/.test(text)) return names[(Number(text) - first) % (names === DAYS ? 7 : 12)] ?? null;
  return names.find((each) => each.toUpperCase() === text.toUpperCase()) ?? null;
}
