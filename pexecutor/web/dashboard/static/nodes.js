// The nodes that run the tasks of a shared queue, as each reported its state.

import { get } from "./api.js";
import { byId, h } from "./dom.js";
import { ago } from "./format.js";

/** Read and show the nodes; a server with its own store has none. */
export async function showNodes() {
	const nodes = await get("nodes");
	byId("nodes").parentElement.hidden = !nodes.length;
	byId("nodes").replaceChildren(...nodes.map(row));
}

function row({ name, busy, pool_size, draining, beat_at }) {
	const state = `${draining ? "draining, " : ""}${busy} of ${pool_size} busy · ${ago(beat_at)}`;
	return h("li", {}, h("span", {}, name), h("span", { className: "minor" }, state));
}
