// The fields of forms: a label, an input, a hint and a fault.

import { html, useId } from "../components/html.js";
import { Icon } from "../components/icon.js";
import { hintOf, kindOf, propertiesOf } from "./schema.js";

/**
 * A field around an input.
 * @param input a function of the attributes that tie the input to its label, hint and fault
 */
export function Field({ label, hint, fault, isOptional = false, input, field }) {
  const id = useId();
  const described = [hint && `${id}-hint`, fault && `${id}-fault`].filter(Boolean).join(" ") || undefined;
  const attributes = { id, "aria-describedby": described, "aria-invalid": fault ? "true" : undefined, "data-field": field };
  return html`<div class="field">
    <label class="field__label" for=${id}><span dir="auto">${label}</span>${isOptional && html`<span class="field__optional">optional</span>`}</label>
    ${input(attributes)}
    ${fault && html`<span class="field__error" id=${`${id}-fault`} data-role="failure"><${Icon} name="warn" /><span>${fault}</span></span>`}
    ${hint && html`<span class="field__hint" id=${`${id}-hint`}>${hint}</span>`}
  </div>`;
}

/** A select with an arrow of this design; `options` are pairs of a value and a text. */
export function Select({ options, value, onChange, ...rest }) {
  return html`<span class="select">
    <select class="input" onChange=${(event) => onChange(event.target.value)} ...${rest}>
      ${options.map(([each, text]) => html`<option key=${each} value=${each} selected=${each === value}>${text}</option>`)}
    </select><${Icon} name="down" />
  </span>`;
}

/** A line of text. */
export const Text = ({ value, onInput, ...rest }) =>
  html`<input class="input" type="text" value=${value} autocomplete="off" spellcheck=${false} onInput=${(event) => onInput(event.target.value)} ...${rest} />`;

/** Several lines of text. */
export const Area = ({ value, onInput, ...rest }) =>
  html`<textarea class="input input--area" rows="3" spellcheck=${false} value=${value} onInput=${(event) => onInput(event.target.value)} ...${rest}></textarea>`;

const UNITS = [["ms", 1], ["s", 1000], ["min", 60_000], ["h", 3_600_000], ["d", 86_400_000]];

/** The largest unit in which a number of ms is whole. */
export function inUnits(ms) {
  const [unit, size] = UNITS.findLast(([, each]) => ms && ms % each === 0) ?? UNITS[1];
  return { number: String(ms / size), unit };
}

/** The number of ms that a duration stands for; undefined if it is empty, NaN if it is no number. */
export function inMs({ number, unit }) {
  return number.trim() === "" ? undefined : Math.round(Number(number) * UNITS.find(([each]) => each === unit)[1]);
}

/** A number with a unit of time; `value` has `number` and `unit`. */
export function Duration({ value, onInput, placeholder, label, ...rest }) {
  return html`<span class="input-with-unit">
    <input class="input" type="text" inputmode="decimal" placeholder=${placeholder} value=${value.number} autocomplete="off"
      onInput=${(event) => onInput({ ...value, number: event.target.value })} ...${rest} />
    <${Select} aria-label=${`Unit of ${label}`} options=${UNITS.map(([unit]) => [unit, unit])} value=${value.unit}
      onChange=${(unit) => onInput({ ...value, unit })} />
  </span>`;
}

/**
 * The fields of an object's schema, as inputs that fit them.
 * @param values what the inputs show, by name
 * @param faults what is wrong, by the path of the field
 * @param onInput gets the values after a change
 */
export function SchemaFields({ schema, root = schema, values, faults, onInput, path = "params" }) {
  return propertiesOf(schema, root).map(({ name, schema: each, isRequired }) => html`<${SchemaField} key=${name} name=${name}
    schema=${each} root=${root} isRequired=${isRequired} value=${values[name]} faults=${faults} path=${`${path}.${name}`}
    onInput=${(value) => onInput({ ...values, [name]: value })} />`);
}

function SchemaField({ name, schema, root, isRequired, value, faults, path, onInput }) {
  const kind = kindOf(schema, root);
  if (kind === "group") {
    return html`<fieldset class="field-group"><legend dir="auto">${name}</legend>
      <${SchemaFields} schema=${schema} root=${root} values=${value} faults=${faults} path=${path} onInput=${onInput} /></fieldset>`;
  }
  if (kind === "flag") return html`<${Flag} name=${name} hint=${hintOf(schema)} value=${value} field=${path} onInput=${onInput} />`;
  const input = (attributes) => INPUTS[kind]({ ...attributes, schema, isRequired, value, onInput, "aria-required": isRequired ? "true" : undefined });
  const hint = kind === "lines" ? [schema.description, "one in each line"].filter(Boolean).join(", ") : hintOf(schema);
  return html`<${Field} label=${name} hint=${hint} fault=${faults[path]} isOptional=${!isRequired} input=${input} field=${path} />`;
}

/** A switch with its name beside it. */
export function Flag({ name, hint, value, onInput, field }) {
  return html`<label class="field flag"><span class="row"><input class="switch" type="checkbox" role="switch" data-field=${field} checked=${value}
    onChange=${(event) => onInput(event.target.checked)} /><span class="flag__name" dir="auto">${name}</span></span>
    ${hint && html`<span class="field__hint">${hint}</span>`}</label>`;
}

const rest = ({ schema, isRequired, value, onInput, ...attributes }) => attributes;

const INPUTS = {
  choice: (props) => {
    const { schema, isRequired, value, onInput } = props;
    const empty = isRequired && value !== "" ? [] : [["", isRequired ? "Choose one" : "default"]];
    const options = [...empty, ...schema.enum.map((each) => [JSON.stringify(each), String(each)])];
    return html`<${Select} ...${rest(props)} options=${options} value=${value} onChange=${onInput} />`;
  },
  number: (props) => {
    const { schema, value, onInput } = props;
    return html`<${Text} ...${rest(props)} value=${value} onInput=${onInput} inputmode=${schema.type === "integer" ? "numeric" : "decimal"} />`;
  },
  text: (props) => html`<${Text} ...${rest(props)} value=${props.value} onInput=${props.onInput} />`,
  mixed: (props) => html`<${Text} ...${rest(props)} value=${props.value} onInput=${props.onInput} />`,
  lines: (props) => html`<${Area} ...${rest(props)} value=${props.value} onInput=${props.onInput} />`,
  json: (props) => html`<${Area} ...${rest(props)} value=${props.value} onInput=${props.onInput} />`,
};
