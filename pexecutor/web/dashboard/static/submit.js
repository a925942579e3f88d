// The list of handlers, and the form to submit a task.

import { attempt } from "./actions.js";
import { ask, get, reason } from "./api.js";
import { byId, h, setText, toast } from "./dom.js";
import { makeField, paramFields } from "./fields.js";

const SPAN = { type: "integer", minimum: 0, maximum: 7 * 24 * 60 * 60 * 1000 };
const OPTIONS = [
	["priority", { type: "integer", minimum: -100, maximum: 100 }, { label: "Priority", hint: "higher starts first" }],
	["delay", SPAN, { label: "Delay", hint: "in ms" }],
	["timeout", { ...SPAN, minimum: 1 }, { label: "Timeout", hint: "in ms" }],
	["retries", { type: "integer", minimum: 0, maximum: 100 }, { label: "Retries", hint: "after a failure" }],
	["on_conflict", { enum: ["reject", "join", "latest", "supersede"] }, { label: "If the name is held", hint: "default: the task is refused" }],
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
		const name = makeField("name", { type: "string" }, { label: "Name", hint: "held until the task ends", isRequired: true });
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

	/** The task in the form, or undefined if a field has a fault, which the field then shows. */
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

	/** Show each fault that the server reports at its field, or below the form. */
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

	/** Focus the first field with a fault; return whether there is one. */
	#focusFault() {
		const faulty = this.#fields.find(({ input }) => input.ariaInvalid === "true");
		faulty?.input.focus();
		return faulty !== undefined;
	}
}
