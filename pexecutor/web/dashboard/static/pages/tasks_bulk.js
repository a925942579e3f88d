// Bulk actions on the selected tasks, or on all that match. Each says first how many tasks it concerns.

import { changeTasks } from "../api/tasks.js";
import { say } from "../app/toasts.js";
import { Button, Problem } from "../components/basics.js";
import { count, countOf } from "../components/format.js";
import { html, useEffect, useState } from "../components/html.js";
import { Confirm } from "../components/overlays.js";
import { ChangePriority } from "./task_actions.js";

const CONCERNED_MAX = 100_000;
const IDS_MAX = 1000;

const ACTIONS = {
  cancel: {
    title: "Cancel these tasks?", verb: "Cancel", done: "cancelled", concerns: "tasks in flight",
    says: "Waiting tasks end at once. Running attempts are cut off and not tried again; what they have done stays done.",
  },
  retry: {
    title: "Run these tasks again?", verb: "Run", after: " again", done: "submitted again", concerns: "finished tasks",
    says: "Each is submitted as it was. A task whose name is held is left out.",
  },
};

/** The bar with the actions. */
export function BulkBar({ list, filters, selected, clear }) {
  const [isAll, setAll] = useState(false);
  const [action, setAction] = useState(null);
  const which = isAll ? { filter: filters } : { ids: [...selected].slice(0, IDS_MAX) };
  const canHaveAll = Object.keys(filters).length > 0 && list.state.value !== "complete";
  const close = () => setAction(null);
  const done = () => {
    clear();
    list.refresh();
  };
  return html`<section class="bulk-bar" aria-label="Selected tasks">
      <span class="bulk-bar__count">${isAll ? "all that match" : `${count(selected.size)} selected`}</span>
      ${canHaveAll && !isAll && html`<${Button} kind="quiet" small class="not-on-phone" onClick=${() => setAll(true)}>Select all that match<//>`}
      <span class="bulk-bar__divider not-on-phone"></span>
      <${Button} small icon="again" onClick=${() => setAction("retry")}>Run again<//>
      <${Button} small icon="move" class="not-on-phone" onClick=${() => setAction("priority")}>Priority…<//>
      <${Button} small icon="x" onClick=${() => setAction("cancel")}>Cancel…<//>
      <${Button} kind="quiet" small icon="x" label="Clear the selection" onClick=${clear} />
    </section>
    ${action === "priority" && html`<${BulkPriority} which=${which} done=${done} onClose=${close} />`}
    ${ACTIONS[action] && html`<${BulkConfirm} action=${action} which=${which} done=${done} onClose=${close} />`}`;
}

/** Count what an action would concern. */
function useDryRun(body) {
  const [found, setFound] = useState({});
  useEffect(() => {
    changeTasks({ ...body, max: CONCERNED_MAX, dry_run: true }).then((counts) => setFound({ counts }), (problem) => setFound({ problem }));
  }, []);
  return found;
}

function BulkConfirm({ action, which, done, onClose }) {
  const { title, verb, after = "", done: past, concerns, says } = ACTIONS[action];
  const { counts, problem } = useDryRun({ action, ...which });
  const number = counts?.matched ?? 0;
  const act = async () => {
    const { changed, unchanged, unknown, stopped } = await changeTasks({ action, ...which, max: CONCERNED_MAX });
    const rest = [unchanged && `${count(unchanged)} unchanged`, unknown && `${count(unknown)} no longer kept`, stopped && `stopped: ${stopped}`].filter(Boolean).join(", ");
    say(`${countOf(changed, "task")} ${past}${rest && `; ${rest}`}`);
    done();
  };
  const name = counts ? `${verb} ${countOf(number, "task")}${after}` : `${verb}${after}`;
  return html`<${Confirm} title=${title} action=${name} keep="Keep them" disabled=${!counts || number === 0} act=${act} onClose=${onClose}>
    ${problem && html`<${Problem}>${problem.message}<//>`}
    ${!counts && !problem && html`<p role="status">Counting…</p>`}
    ${counts && html`<p role="status">${number === 0 ? `None of them is among the ${concerns}.` : `This concerns ${countOf(number, "task")}${counts.more ? " and more" : ""}. ${says}`}</p>`}
  <//>`;
}

function BulkPriority({ which, done, onClose }) {
  const { counts } = useDryRun({ action: "priority", priority: 0, ...which });
  const change = async (priority) => {
    const { changed } = await changeTasks({ action: "priority", priority, ...which, max: CONCERNED_MAX });
    say(`${countOf(changed, "task")} ${changed === 1 ? "has" : "have"} the priority ${priority}`);
    done();
  };
  const title = counts ? `Priority of ${countOf(counts.matched, "waiting task")}` : "Priority";
  return html`<${ChangePriority} title=${title} priority=${0} change=${change} onClose=${onClose} />`;
}
