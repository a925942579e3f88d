// The dialog for a new task: the handler, its params as fields, and the options.

import { readHandlers } from "../api/server.js";
import { submitTask } from "../api/tasks.js";
import { go, hrefOf } from "../app/router.js";
import { say } from "../app/toasts.js";
import { Button, Problem, Segments } from "../components/basics.js";
import { span, zone } from "../components/format.js";
import { html, signal, useEffect, useRef, useState } from "../components/html.js";
import { Dialog } from "../components/overlays.js";
import { Duration, Field, SchemaFields, Select, Text } from "./fields.js";
import { CONFLICTS, CRASHES, DURATIONS, formOf, taskOfForm, withHandler } from "./task_form.js";

const opened = signal(null);

/**
 * Open the dialog.
 * @param task what it holds at first, such as a task to run again with changes
 */
export function openNewTask(task = {}) {
  opened.value = { task };
}

/** The dialog, while it is open. */
export function NewTask() {
  const [handlers, setHandlers] = useState(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (opened.value) readHandlers().then(setHandlers, (error) => setProblem(error.message));
  }, [opened.value]);
  if (!opened.value) return null;
  const close = () => (opened.value = null);
  if (!handlers) return html`<${Dialog} title="New task" onClose=${close}><${Problem}>${problem}<//><//>`;
  return html`<${NewTaskForm} handlers=${handlers} task=${opened.value.task} close=${close} />`;
}

function NewTaskForm({ handlers, task, close }) {
  const [handler, setHandler] = useState(() => handlers.find(({ name }) => name === task.handler) ?? handlers[0]);
  const [form, setForm] = useState(() => formOf(handler, task));
  const [faults, setFaults] = useState({});
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const body = useRef();
  const set = (changes) => setForm((before) => ({ ...before, ...changes }));
  const choose = (name) => {
    const chosen = handlers.find((each) => each.name === name);
    setHandler(chosen);
    setForm(withHandler(form, chosen));
    setFaults({});
  };
  useEffect(() => focusFault(body.current), [faults]);
  const submit = async () => {
    const read = taskOfForm(handler, form);
    setFaults(read.faults);
    setProblem("");
    if (Object.keys(read.faults).length) return;
    setBusy(true);
    try {
      const record = await submitTask(read.task);
      say(`Submitted ${record.name}`, { action: "Show", act: () => go(hrefOf("tasks", record.id)) });
      close();
    } catch (error) {
      setBusy(false);
      explain(error, setFaults, setProblem);
    }
  };
  const foot = html`<span class="dialog__note">${handler.description}</span>
    <${Button} onClick=${close}>Discard<//><${Button} kind="primary" type="submit" busy=${busy}>Submit task<//>`;
  return html`<${Dialog} title="New task" onClose=${close} onSubmit=${submit} foot=${foot}>
    <div class="stack" ref=${body}>
      <${Main} ...${{ handlers, handler, choose, form, set, faults }} />
      <${Options} ...${{ handler, form, set, faults }} />
      <${Problem}>${problem}<//>
    </div>
  <//>`;
}

/** Show each fault that the server found at its field, and the rest below the form. */
function explain(error, setFaults, setProblem) {
  const errors = error.problem?.errors ?? [];
  setFaults(Object.fromEntries(errors.filter(({ field }) => field).map(({ field, detail }) => [field, detail])));
  const rest = errors.filter(({ field }) => !field).map(({ detail }) => detail);
  setProblem(errors.length ? rest.join("; ") || error.message : error.message);
}

/** Focus the first field with a fault; open the options if it is one of them. */
function focusFault(body) {
  const input = body.querySelector("[aria-invalid=true]");
  input?.closest("details")?.setAttribute("open", "");
  input?.focus();
}

function Main({ handlers, handler, choose, form, set, faults }) {
  const options = handlers.map(({ name }) => [name, name]);
  return html`<div class="field-row">
      <${Field} label="Name" field="name" fault=${faults.name} hint="held until the task ends"
        input=${(attributes) => html`<${Text} ...${attributes} value=${form.name} onInput=${(name) => set({ name })} autofocus />`} />
      <${Field} label="Handler" field="handler" fault=${faults.handler}
        input=${(attributes) => html`<${Select} ...${attributes} options=${options} value=${handler.name} onChange=${choose} />`} />
    </div>
    ${handler.name === "sleep" && html`<${Field} label="Duration" field="duration" fault=${faults.duration}
      input=${(attributes) => html`<${Duration} ...${attributes} label="Duration" value=${form.duration} onInput=${(duration) => set({ duration })} />`} />`}
    <${SchemaFields} schema=${handler.params} values=${form.params ?? {}} faults=${faults} onInput=${(params) => set({ params })} />`;
}

const STARTS = [["now", "Now"], ["delay", "After a delay"], ["at", "At a time"]];

function Options({ handler, form, set, faults }) {
  return html`<div class="field"><span class="field__label">Start</span>
      <div><${Segments} label="Start" options=${STARTS} value=${form.start} onChange=${(start) => set({ start })} /></div></div>
    ${form.start === "delay" && html`<${Field} label="Delay" field="delay" fault=${faults.delay}
      input=${(attributes) => html`<${Duration} ...${attributes} label="Delay" value=${form.delay} onInput=${(delay) => set({ delay })} />`} />`}
    ${form.start === "at" && html`<${Field} label="Start at" field="runAt" fault=${faults.runAt} hint=${zone()}
      input=${(attributes) => html`<${Text} ...${attributes} type="datetime-local" value=${form.runAt} onInput=${(runAt) => set({ runAt })} />`} />`}
    <details class="more-options">
      <summary class="more-options__summary">Options</summary>
      <div class="stack more-options__fields">
        <div class="field-row">
          <${OptionText} ...${{ name: "priority", label: "Priority", hint: "the higher starts first", handler, form, set, faults }} />
          <${OptionText} ...${{ name: "retries", label: "Retries", hint: "after a failure", handler, form, set, faults }} />
          ${DURATIONS.map(([name, label, hint]) => html`<${OptionDuration} key=${name} ...${{ name, label, hint, handler, form, set, faults }} />`)}
          <${OptionChoice} ...${{ name: "on_conflict", label: "If the name is held", values: CONFLICTS, handler, form, set, faults }} />
          <${OptionChoice} ...${{ name: "on_crash", label: "If the server dies", values: CRASHES, handler, form, set, faults }} />
          <${OptionText} ...${{ name: "tags", label: "Tags", hint: "with commas between", handler, form, set, faults }} />
        </div>
      </div>
    </details>`;
}

function OptionText({ name, label, hint, handler, form, set, faults }) {
  const standard = handler.defaults?.[name];
  const input = (attributes) => html`<${Text} ...${attributes} placeholder=${standard ?? ""} value=${form[name]} onInput=${(value) => set({ [name]: value })} />`;
  return html`<${Field} label=${label} hint=${hint} field=${name} fault=${faults[name]} isOptional input=${input} />`;
}

function OptionDuration({ name, label, hint, handler, form, set, faults }) {
  const standard = handler.defaults?.[name];
  const placeholder = standard === undefined || standard === null ? "" : span(standard);
  const input = (attributes) => html`<${Duration} ...${attributes} label=${label} placeholder=${placeholder} value=${form[name]} onInput=${(value) => set({ [name]: value })} />`;
  return html`<${Field} label=${label} hint=${hint} field=${name} fault=${faults[name]} isOptional input=${input} />`;
}

function OptionChoice({ name, label, values, handler, form, set, faults }) {
  const standard = values.find(([value]) => value === (handler.defaults?.[name] ?? values[0][0]));
  const options = [["", `default: ${standard[1]}`], ...values];
  const input = (attributes) => html`<${Select} ...${attributes} options=${options} value=${form[name]} onChange=${(value) => set({ [name]: value })} />`;
  return html`<${Field} label=${label} field=${name} fault=${faults[name]} isOptional input=${input} />`;
}
