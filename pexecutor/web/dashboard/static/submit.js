// The handlers that there are, and the form to submit a task for one of them.

import { attempt } from "./actions.js";
import { ask, get, reason } from "./api.js";
import { byId, h, setText, toast } from "./dom.js";
import { makeField, paramFields } from "./fields.js";

const SPAN = { type: "integer", minimum: 0, maximum: 7 * 24 * 60 * 60 * 1000 };
const OPTIONS = [
	["priority", { type: "integer", minimum: -100, maximum: 100 }, { label: "Priority", hint: "the higher starts first" }],
	["delay", SPAN, { label: "Delay", hint: "in ms" }],
	["timeout", { ...SPAN, minimum: 1 }, { label: "Timeout", hint: "in ms" }],
	["retries", { type: "integer", minimum: 0, maximum: 100 }, { label: "Retries", hint: "when it fails" }],
	["on_conflict", { enum: ["reject", "join", "latest", "supersede"] }, { label: "If the name is held", hint: "it is refused by default" }],
];

export class SubmitView {
	#dialog = byId("submit");
	#problem = this.#dialog.querySelector("form > .problem");
	#handlers = [];
	#fields = [];

	constructor() {
		byId("new-task").onclick = () => this.#open();
		this.#dialog.querySelector("form").onsubmit = (event) => {
			event.preventDefault();
			this.#submit();
		};
	}

	async load() {
		this.#handlers = await get("handlers");
		const items = this.#handlers.map(({ name, description }) =>
			h("li", {}, h("div", {}, h("b", {}, name), h("p", { className: "minor" }, description)),
				h("button", { ariaLabel: `New task for ${name}`, onclick: () => this.#open(name) }, "New task")));
		byId("handlers").replaceChildren(...items);
	}

	async #open(handler) {
		if (!this.#handlers.length && !(await attempt("read the handlers", () => this.load()))) return;
		this.#build(handler ?? this.#handlers[0].name);
		this.#dialog.showModal();
		byId("field-name").focus();
	}

	#build(handler) {
		const { params, description } = this.#handlers.find((each) => each.name === handler);
		const names = this.#handlers.map(({ name }) => name);
		const select = makeField("handler", { enum: names, default: handler }, { label: "Handler", hint: description });
		select.input.onchange = () => this.#build(JSON.parse(select.input.value || JSON.stringify(handler)));
		const name = makeField("name", { type: "string" }, { label: "Name", hint: "held until it has ended", isRequired: true });
		name.input.value = byId("field-name")?.value ?? "";
		const duration = makeField("duration", { ...SPAN, default: 1000 }, { label: "Duration", hint: "in ms" });
		const own = handler === "sleep" ? [duration] : paramFields(params);
		const options = OPTIONS.map((option) => makeField(...option));
		this.#fields = [select, name, ...own, ...options];
		const shown = [select, name, ...own].map((field) => field.element);
		const more = h("details", {}, h("summary", {}, "More"), options.map((field) => field.element));
		byId("fields").replaceChildren(...shown, more);
		setText(this.#problem, "");
	}

	async #submit() {
		const task = this.#read();
		if (!task) return;
		try {
			await ask("POST", "tasks", task);
			toast(`Submitted ${task.name}`);
			this.#dialog.close();
		} catch (error) {
			this.#explain(error);
		}
	}

	/** The task that the form says, or undefined: then a field tells its fault. */
	#read() {
		const [task, params] = [{}, {}];
		setText(this.#problem, "");
		for (const field of this.#fields) {
			field.complain("");
			try {
				(field.isParam ? params : task)[field.name] = field.read();
			} catch (error) {
				field.complain(error.message);
			}
		}
		return this.#focusFault() ? undefined : { ...task, params };
	}

	/** Say what the server found at the field that it names, or below. */
	#explain(error) {
		const faults = error.problem?.errors ?? [{ detail: reason(error) }];
		const left = faults.filter(({ field, detail }) => {
			const known = this.#fields.find(({ path }) => path === field || field?.startsWith(`${path}.`) || field?.startsWith(`${path}[`));
			known?.complain(detail);
			return !known;
		});
		setText(this.#problem, left.map(({ detail }) => detail).join("; "));
		this.#focusFault();
	}

	/** Go to the first field with a fault; whether there is one. */
	#focusFault() {
		const faulty = this.#fields.find(({ input }) => input.ariaInvalid === "true");
		faulty?.input.focus();
		return faulty !== undefined;
	}
}
