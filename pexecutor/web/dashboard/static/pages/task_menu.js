// The menu of one task: what its state and the reader's scope allow.

import { may } from "../api/session.js";
import { taskOf, showTask } from "../api/tasks.js";
import { go, hrefOf } from "../app/router.js";
import { attempt } from "../app/toasts.js";
import { isolated } from "../components/format.js";
import { html, signal } from "../components/html.js";
import { Menu, MenuItem } from "../components/overlays.js";
import { openNewTask } from "../forms/new_task.js";
import { CancelTask, cancelOrAsk, runAgain, runNow, TaskPriority } from "./task_actions.js";

const opened = signal(null); // the dialog of a menu: its component and the record

const open = (Component) => (record) => (opened.value = { Component, record });

/** Open the form of a new task with the content of a record. */
export const runWithChanges = (record) =>
  attempt(`read ${isolated(record.name)}`, async () => openNewTask(taskOf(record.params ? record : await showTask(record.id))));

/** The dialogs that a menu opens; one is enough on a page. */
export function TaskDialogs() {
  if (!opened.value) return null;
  const { Component, record } = opened.value;
  return html`<${Component} record=${record} onClose=${() => (opened.value = null)} />`;
}

/** The menu in the row of a task, or in its head. */
export function RowMenu({ record, small = true, inHead = false }) {
  const content = (close) => itemsOf(record, inHead).map(({ icon, text, act }) => html`<${MenuItem} key=${text} icon=${icon} close=${close} onClick=${() => act(record)}>${text}<//>`);
  return html`<${Menu} icon="more" label=${inHead ? "More" : `Actions for ${isolated(record.name)}`} kind=${inHead ? undefined : "quiet"} small=${small} content=${content} />`;
}

/** The actions for a record. */
export function itemsOf(record, inHead) {
  const isOver = record.state === "finished";
  const isWaiting = record.state === "pending" || record.state === "scheduled";
  const items = [
    !inHead && { icon: "right", text: "Open", act: ({ id }) => go(hrefOf("tasks", id)) },
    !inHead && isOver && may("submit") && { icon: "again", text: "Run again", act: runAgain },
    may("submit") && { icon: "edit", text: "Run again with changes…", act: runWithChanges },
    isWaiting && may("submit") && { icon: "move", text: "Priority…", act: open(TaskPriority) },
    record.state === "scheduled" && !record.follows && may("submit") && { icon: "play", text: "Run now", act: runNow },
    !inHead && !isOver && may("submit") && { icon: "x", text: "Cancel…", act: (each) => cancelOrAsk(each, open(CancelTask)) },
    { icon: "copy", text: "Copy the id", act: ({ id }) => navigator.clipboard?.writeText(id) },
    { icon: "search", text: "All tasks of this name", act: ({ name }) => go(hrefOf("tasks", null, { name })) },
  ];
  return items.filter(Boolean);
}

/** Ask before the cancel of a record, if needed. */
export const askToCancel = open(CancelTask);
