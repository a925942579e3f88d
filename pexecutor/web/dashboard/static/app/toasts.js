// What has just been done, and how to undo it.

import { Button } from "../components/basics.js";
import { html, signal } from "../components/html.js";
import { Icon } from "../components/icon.js";

const SHOWN_MS = 8000;
const SHOWN_MAX = 3;

const toasts = signal([]);
let number = 0;

const remove = (id) => (toasts.value = toasts.value.filter((toast) => toast.id !== id));

/**
 * Say what has been done.
 * @param action the name of a button, such as one that undoes it
 * @param act what that button does
 */
export function say(text, { action, act, failed = false } = {}) {
  const toast = { id: ++number, text, action, act, failed };
  toasts.value = [...toasts.value, toast].slice(-SHOWN_MAX);
  setTimeout(() => remove(toast.id), failed ? 2 * SHOWN_MS : SHOWN_MS);
}

/**
 * Do something, and say so if it fails.
 * @param what what is done, as in "cancel encode/trailer"
 * @returns whether it succeeded
 */
export async function attempt(what, act) {
  try {
    await act();
    return true;
  } catch (error) {
    say(`Could not ${what}: ${error.message}`, { failed: true });
    return false;
  }
}

/** The toasts. */
export function Toasts() {
  return html`<div class="toast-stack" role="status" aria-live="polite">${toasts.value.map((toast) => html`<${Toast} key=${toast.id} ...${toast} />`)}</div>`;
}

function Toast({ id, text, action, act, failed }) {
  const run = () => {
    remove(id);
    act();
  };
  return html`<div class="toast" data-role=${failed ? "failure" : undefined}>
    <span class=${failed ? "toast__icon toast__icon--failure" : "toast__icon"}><${Icon} name=${failed ? "warn" : "check"} /></span>
    <span class="toast__text">${text}</span>
    ${action && html`<${Button} small kind="quiet" onClick=${run}>${action}<//>`}
    <${Button} small kind="quiet" icon="x" label="Dismiss" onClick=${() => remove(id)} />
  </div>`;
}
