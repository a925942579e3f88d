// The server's time, which the page shows: a signal that changes each second while the page is visible.

import { signal } from "../vendor/signals.js";

const TICK_MS = 1000;
const DIFFERENCE_MS_MIN = 2000; // the Date header has whole seconds

let differenceMs = 0;

/** The server's time as a number of ms since 1970. */
export const serverTime = () => Date.now() + differenceMs;

/** The server's time, as a signal that changes each second. */
export const now = signal(serverTime());

/** Note the Date header of a reply, by which the server's clock is known. */
export function noteServerTime(date) {
  const found = Date.parse(date) - Date.now();
  if (!Number.isNaN(found)) differenceMs = Math.abs(found) > DIFFERENCE_MS_MIN ? found : 0;
}

const tick = () => {
  if (!document.hidden) now.value = serverTime();
};
setInterval(tick, TICK_MS);
document.addEventListener("visibilitychange", tick);
