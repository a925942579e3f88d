// What can be done with one task. What cannot be undone asks first, and says what will happen.

import { now, serverTime } from "../api/clock.js";
import { cancelTask, changeTask, retryTask, submitTask, taskOf } from "../api/tasks.js";
import { go, hrefOf } from "../app/router.js";
import { attempt, say } from "../app/toasts.js";
import { Button, InlineName } from "../components/basics.js";
import { isolated, wholeSpan } from "../components/format.js";
import { html, useState } from "../components/html.js";
import { Confirm, Dialog } from "../components/overlays.js";
import { Field, Text } from "../forms/fields.js";
import { FieldFault, valueOf } from "../forms/schema.js";

const ASKS_AFTER_MS = 60_000;

/** Cancel a task; `ask` is called with its record instead if it has run for a minute. */
export function cancelOrAsk(record, ask) {
  if (record.state === "running" && serverTime() - Date.parse(record.started_at) > ASKS_AFTER_MS) return ask(record);
  return attempt(`cancel ${isolated(record.name)}`, () => cancel(record));
}

async function cancel(record) {
  const { status } = await cancelTask(record.id);
  if (status === 202) return say(`${isolated(record.name)} was asked to stop`);
  say(`${isolated(record.name)} was cancelled while it waited`, { action: "Run again", act: () => runAgain(record) });
}

/** The question before the cancel of a task that has run for long. */
export function CancelTask({ record, onClose }) {
  const ran = wholeSpan(now.value - Date.parse(record.started_at));
  return html`<${Confirm} title="Cancel this task?" action="Cancel task" keep="Keep it running" act=${() => cancel(record)} onClose=${onClose}>
    <p><${InlineName} name=${record.name} /> has run for ${ran}. Its attempt is cut off and not tried again; what it has done stays done.</p>
  <//>`;
}

/** Run a task again: a finished one as it was submitted, another one as a new task of the same name. */
export function runAgain(record) {
  return attempt(`run ${isolated(record.name)} again`, async () => {
    if (record.state === "finished") {
      const { changed } = await retryTask(record.id);
      if (!changed) throw new Error("a task of this name is in flight");
      return say(`${isolated(record.name)} runs again`, { action: "Show", act: () => go(hrefOf("tasks", null, { name: record.name })) });
    }
    const submitted = await submitTask(taskOf(record));
    say(`${isolated(record.name)} runs again`, { action: "Show", act: () => go(hrefOf("tasks", submitted.id)) });
  });
}

/** Start a waiting task as soon as a worker is free. */
export const runNow = (record) =>
  attempt(`start ${isolated(record.name)} now`, async () => {
    await changeTask(record.id, { run_at: "now" });
    say(`${isolated(record.name)} is due now`);
  });

const PRIORITY = { type: "integer", minimum: -100, maximum: 100 };

/**
 * The form for another priority.
 * @param change gets the priority
 */
export function ChangePriority({ title, priority, change, onClose }) {
  const [text, setText] = useState(String(priority));
  const [fault, setFault] = useState("");
  const submit = async () => {
    try {
      const value = valueOf(PRIORITY, PRIORITY, text);
      if (value === undefined) throw new FieldFault("Write a number.");
      await change(value);
      onClose();
    } catch (error) {
      setFault(error.message);
    }
  };
  const foot = html`<${Button} onClick=${onClose}>Keep it<//><${Button} kind="primary" type="submit">Change priority<//>`;
  return html`<${Dialog} title=${title} onClose=${onClose} onSubmit=${submit} foot=${foot}>
    <${Field} label="Priority" hint="−100 to 100; the higher starts first" fault=${fault}
      input=${(attributes) => html`<${Text} ...${attributes} inputmode="numeric" value=${text} onInput=${setText} autofocus />`} />
  <//>`;
}

/** The form for another priority of one task. */
export function TaskPriority({ record, onClose }) {
  const change = async (priority) => {
    await changeTask(record.id, { priority });
    say(`${isolated(record.name)} has the priority ${priority}`, { action: "Undo", act: () => changeTask(record.id, { priority: record.priority }) });
  };
  return html`<${ChangePriority} title=${`Priority of ${isolated(record.name)}`} priority=${record.priority} change=${change} onClose=${onClose} />`;
}
