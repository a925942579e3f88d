// Days and times of schedules, in the reader's time zone and in that of the schedule.

const FIELDS = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
const toTheMinute = new Intl.DateTimeFormat("en-GB", FIELDS);
const toTheSecond = new Intl.DateTimeFormat("en-GB", { ...FIELDS, second: "2-digit" });

/** A day and a time: `Tue 1 Dec, 03:00`, with seconds if it has any. */
export function dayAndTime(at) {
  const time = new Date(at);
  return (time.getSeconds() ? toTheSecond : toTheMinute).format(time);
}

/** The same in another zone, with the name of that zone. */
export function atInZone(at, timeZone) {
  try {
    return new Intl.DateTimeFormat("en-GB", { weekday: "short", hour: "2-digit", minute: "2-digit", timeZone, timeZoneName: "short" }).format(new Date(at));
  } catch {
    return timeZone; // this browser does not know the zone
  }
}
