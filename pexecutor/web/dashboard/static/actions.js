// The actions on tasks. Each shows its result as a toast.

import { ask, get, reason, taskPath } from "./api.js";
import { h, toast } from "./dom.js";

const KEPT = "name handler params duration priority timeout retries retry_delay retry_delay_max on_conflict on_crash keep tags";

/** Run the action, and show a toast if it fails; return whether it succeeded. */
export async function attempt(what, action) {
	try {
		await action();
		return true;
	} catch (error) {
		toast(`Could not ${what}: ${reason(error)}`, true);
		return false;
	}
}

export const cancel = (record) =>
	attempt(`cancel ${record.name}`, async () => {
		const { data } = await ask("DELETE", taskPath(record));
		toast(data.state === "finished" ? `Cancelled ${record.name}` : `Cancelling ${record.name}`);
	});

export const setPriority = (record, priority) =>
	attempt(`move ${record.name}`, async () => {
		await ask("PATCH", taskPath(record), { priority });
		toast(`${record.name} has priority ${priority}`);
	});

/** Submit a new task with the fields of a finished one. */
export const runAgain = (record) =>
	attempt(`run ${record.name} again`, async () => {
		const known = Object.entries(await get(taskPath(record)));
		await ask("POST", "tasks", Object.fromEntries(known.filter(([name, value]) => KEPT.split(" ").includes(name) && value !== null)));
		toast(`Submitted ${record.name} again`);
	});

/** Buttons that show and cancel the row's current task. */
export const nameButton = (show, task) => h("button", { className: "name", onclick: () => show(task()) });
export const cancelButton = (task) => h("button", { className: "quiet", title: "Cancel", onclick: () => cancel(task()) }, "×");
