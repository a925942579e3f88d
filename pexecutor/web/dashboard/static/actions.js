// What the page has done to tasks. Each says how it went.

import { ask, get, reason, taskPath } from "./api.js";
import { h, toast } from "./dom.js";

const KEPT = "name handler params duration priority timeout retries retry_delay retry_delay_max on_conflict on_crash keep";

/** Do it, or tell that it did not work; whether it did. */
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
		toast(data.state === "finished" ? `Cancelled ${record.name}` : `Told ${record.name} to end`);
	});

export const setPriority = (record, priority) =>
	attempt(`move ${record.name}`, async () => {
		await ask("PATCH", taskPath(record), { priority });
		toast(`${record.name} has priority ${priority}`);
	});

/** Submit the same as a new task. */
export const runAgain = (record) =>
	attempt(`run ${record.name} again`, async () => {
		const known = Object.entries(await get(taskPath(record)));
		await ask("POST", "tasks", Object.fromEntries(known.filter(([name, value]) => KEPT.split(" ").includes(name) && value !== null)));
		toast(`Submitted ${record.name} again`);
	});

/** Buttons that show and that cancel the task of the moment. */
export const nameButton = (show, task) => h("button", { className: "name", onclick: () => show(task()) });
export const cancelButton = (task) => h("button", { className: "quiet", title: "Cancel", onclick: () => cancel(task()) }, "×");
