// The handlers there are, and the form to submit a task for one of them.

import { ApiError, ask, get } from "./api.js";
import { byId, h, setText, toast } from "./dom.js";
import { makeField, makeFields } from "./fields.js";

const WEEK_MS = 7 * 24 * 60 * 60 * 1000;

const milliseconds = { type: "integer", minimum: 0, maximum: WEEK_MS };
const DURATION = ["duration", { ...milliseconds, default: 1000 }, { label: "Duration", hint: "In ms" }];
const OPTIONS = [
  ["priority", { type: "integer", minimum: -100, maximum: 100 }, { label: "Priority", hint: "-100 to 100, the higher starts first" }],
  ["delay", milliseconds, { label: "Delay", hint: "In ms" }],
  ["timeout", { ...milliseconds, minimum: 1 }, { label: "Timeout", hint: "In ms" }],
  ["retries", { type: "integer", minimum: 0, maximum: 100 }, { label: "Retries", hint: "After a failure or a timeout" }],
  ["on_conflict", { enum: ["reject", "join", "latest", "supersede"] }, { label: "When the name is taken", hint: "reject by default" }],
];

export class SubmitView {
  #handlers = [];
  #fields = []; // of the form as it is
  #dialog = byId("submit");

  constructor() {
    byId("new-task").addEventListener("click", () => this.open());
    byId("submit-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  async load() {
    this.#handlers = await get("handlers");
    const cards = this.#handlers.map(({ name, description }) =>
      h("li", {},
        h("div", {}, h("b", {}, name), h("p", { className: "minor" }, description)),
        h("button", { ariaLabel: `New task for ${name}`, onclick: () => this.open(name) }, "New task")));
    byId("handlers").replaceChildren(...cards);
  }

  open(handler = this.#handlers[0]?.name) {
    this.#build(handler);
    this.#dialog.showModal();
    byId("field-name").focus();
  }

  #build(handler) {
    const { params, description } = this.#handlers.find((each) => each.name === handler) ?? { params: {}, description: "" };
    const select = h("select", { id: "field-handler", onchange: () => this.#build(select.value) },
      ...this.#handlers.map(({ name }) => h("option", { value: name, selected: name === handler }, name)));
    const name = makeField("name", { type: "string" }, { label: "Name", required: true, hint: "No two tasks in flight have the same" });
    name.input.value = byId("field-name")?.value ?? "";
    const own = handler === "sleep" ? [makeField(...DURATION)] : makeFields(params).map((field) => ({ ...field, isParam: true }));
    const options = OPTIONS.map((option) => makeField(...option));
    this.#fields = [name, ...own, ...options];
    setText(byId("submit-problem"), "");
    byId("submit-fields").replaceChildren(
      h("div", { className: "field" }, h("label", { htmlFor: select.id }, "Handler"), select, h("small", { className: "minor" }, description)),
      name.element,
      ...own.map((field) => field.element),
      h("details", {}, h("summary", {}, "More"), ...options.map((field) => field.element)));
  }

  async #submit() {
    const task = this.#read();
    if (!task) return;
    setText(byId("submit-problem"), "");
    try {
      await ask("POST", "tasks", task);
      toast(`Submitted ${task.name}`);
      this.#dialog.close();
    } catch (error) {
      this.#explain(error);
    }
  }

  /** The task as the form says, or undefined when a field has a fault, which it then tells. */
  #read() {
    const task = { handler: byId("field-handler").value };
    const params = {};
    let faulty;
    for (const field of this.#fields) {
      field.complain("");
      try {
        const value = field.read();
        if (value !== undefined) (field.isParam ? params : task)[field.name] = value;
      } catch (error) {
        field.complain(error.message);
        faulty ??= field;
      }
    }
    faulty?.input.focus();
    if (Object.keys(params).length) task.params = params;
    return faulty ? undefined : task;
  }

  #explain(error) {
    const left = (error instanceof ApiError ? (error.problem.errors ?? []) : []).filter(({ field, detail }) => {
      const known = this.#fields.find((each) => field === (each.isParam ? `params.${each.name}` : each.name));
      known?.complain(detail);
      known?.input.closest("details")?.setAttribute("open", "");
      known?.input.focus();
      return !known;
    });
    const told = error instanceof ApiError && error.problem.errors ? left.map(({ detail }) => detail).join("; ") : error.message;
    setText(byId("submit-problem"), error instanceof ApiError ? told : "The server does not answer.");
  }
}
