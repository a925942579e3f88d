// The state of a node: whether it takes tasks, and whether it has been heard of.

import { now } from "../api/clock.js";
import { Slots } from "../components/basics.js";
import { countOf, roughSpan } from "../components/format.js";
import { html } from "../components/html.js";
import { Status } from "../components/status.js";

/** The name under which the page shows the one server of a store that is not shared. */
export const THIS_SERVER = "this-server";

/** The server itself as a node, by its statistics. */
export const ownNode = ({ phase, pool_size: size, busy }) => ({ name: THIS_SERVER, pool_size: size, busy, phase, draining: phase !== "serving" });

/** Whether a node has not renewed its lease for half of it. */
export function isSilent({ beat_at: beat, lease_until: lease }) {
  return Boolean(beat) && now.value - Date.parse(beat) > (Date.parse(lease) - Date.parse(beat)) / 2;
}

/** What to know of a node beside its numbers, in one line. */
export function noteOf(node) {
  const { lease_until: lease, busy, draining } = node;
  if (isSilent(node)) {
    const rest = Date.parse(lease) - now.value;
    const tasks = busy === 1 ? "its task is" : `its ${countOf(busy, "task")} are`;
    if (!busy) return "it has no task";
    return rest > 0 ? `${tasks} given back in ${roughSpan(rest)}` : `${tasks} given back`;
  }
  return draining ? `it starts no more tasks, ${countOf(busy, "task")} left` : "";
}

/** The state of a node: live, silent or draining. */
export function NodeState({ node }) {
  if (isSilent(node)) return html`<${Status} status="late" word="silent" />`;
  if (node.draining) return html`<${Status} status="paused" word="draining" />`;
  return html`<${Status} status="succeeded" word="live" />`;
}

/** The workers of a node that have a task. */
export function Workers({ node }) {
  const { busy, pool_size: size } = node;
  const text = `${busy} of ${size}`;
  return html`<span class="row row--fixed"><${Slots} used=${busy} size=${size} late=${isSilent(node) ? busy : 0} label=${`${busy} of ${countOf(size, "worker")} busy`} /><span>${text}</span></span>`;
}
