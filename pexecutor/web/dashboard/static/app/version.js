// Whether the server has been updated since this page was loaded.

import { apiUrl } from "../api/client.js";
import { connection } from "../api/live.js";
import { effect, signal } from "../components/html.js";

const VERSION = /data-version="(\w+)"/;
const OWN = document.documentElement.dataset.version;

/** Whether the server has another version of the dashboard. */
export const newVersion = signal(false);

async function check() {
  const reply = await fetch(apiUrl("ui"), { cache: "no-store" }).catch(() => null);
  const found = reply?.ok && VERSION.exec(await reply.text())?.[1];
  if (found) newVersion.value = found !== OWN;
}

let wasLive = false;
let hasBeenLive = false;

/** Compare the versions whenever the connection is back: a server does not change while it is connected. */
export function watchVersion() {
  effect(() => {
    const isLive = connection.value.state === "live";
    if (isLive && !wasLive && hasBeenLive) check();
    hasBeenLive ||= isLive;
    wasLive = isLive;
  });
}
