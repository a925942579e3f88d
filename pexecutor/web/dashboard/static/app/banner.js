// The state of the whole page, in one line. At most one is shown, the most severe.

import { now } from "../api/clock.js";
import { connect, connection } from "../api/live.js";
import { pauses, statistics, unready } from "../api/server.js";
import { may } from "../api/session.js";
import { request } from "../api/client.js";
import { Button } from "../components/basics.js";
import { clockTime, count, roughSpan, wholeSpan } from "../components/format.js";
import { html } from "../components/html.js";
import { Icon } from "../components/icon.js";
import { newVersion } from "./version.js";
import { attempt } from "./toasts.js";

/** The banner, or nothing. */
export function Banner() {
  const found = lost() ?? trouble() ?? draining() ?? updated() ?? crowded() ?? paused();
  if (!found) return null;
  const { kind, icon, title, text, action } = found;
  const role = kind === "failure" ? "failure" : undefined;
  return html`<div class=${`banner${kind ? ` banner--${kind}` : ""}`} role="status" data-role=${role}>
    <span class="banner__icon"><${Icon} name=${icon} /></span>
    <span class="banner__text"><strong>${title}</strong> ${text}</span>
    ${action}
  </div>`;
}

function lost() {
  const { state, at, retryAt } = connection.value;
  if (state !== "lost") return null;
  const again = retryAt > now.value ? ` Trying again in ${wholeSpan(retryAt - now.value)}.` : " Trying again now.";
  const text = `Everything here is as of ${clockTime(at)}, ${roughSpan(now.value - at)} ago.${again}`;
  return { kind: "late", icon: "lost", title: "Connection lost.", text, action: html`<${Button} small onClick=${connect}>Try now<//>` };
}

function trouble() {
  if (unready.value?.kind !== "trouble") return null;
  return { kind: "failure", icon: "store", title: "The store cannot be written.", text: `${unready.value.detail}. Submits are answered 503.` };
}

function draining() {
  if (unready.value?.kind !== "draining") return null;
  const running = statistics.value?.store.running ?? 0;
  const text = `It refuses submits; ${count(running)} running ${running === 1 ? "task is" : "tasks are"} left to end.`;
  return { kind: "late", icon: "drain", title: "The server is draining.", text };
}

function updated() {
  if (!newVersion.value) return null;
  const action = html`<${Button} small onClick=${() => location.reload()}>Load again<//>`;
  return { icon: "info", title: "The server has been updated.", text: "Load the page again to match it.", action };
}

function crowded() {
  const { state, reason } = connection.value;
  if (state !== "polling" || !reason) return null;
  return { kind: "late", icon: "warn", title: "No live events.", text: `${sentence(reason)} The page reads everything again every few seconds.` };
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

function paused() {
  const pause = pauses.value.find(({ what }) => what === "everything");
  if (!pause) return null;
  const resume = () => attempt("resume everything", () => request("POST", "resume"));
  const action = may("admin") && html`<${Button} small onClick=${resume}>Resume<//>`;
  const text = `By ${pause.by}, ${roughSpan(now.value - Date.parse(pause.since))} ago. Submits are accepted, running tasks go on, nothing starts.`;
  return { icon: "pause", title: "Everything is paused.", text, action };
}
