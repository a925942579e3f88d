// Form fields made from a JSON Schema. A field knows how its value is read, and where its faults are shown.

import { h } from "./dom.js";

/**
 * A field: `{ name, element, read(), complain(text) }`. `read` gives undefined for what was left empty, and throws an
 * Error that says what is wrong with what was typed.
 */
export function makeField(name, schema, { label = name, required = false, hint } = {}) {
  const { input, read } = control(schema);
  const id = `field-${name}`;
  const fault = h("small", { className: "fault", id: `${id}-fault` });
  const text = hint ?? describe(schema);
  Object.assign(input, { id, ariaRequired: String(required) });
  input.setAttribute("aria-describedby", `${id}-hint ${id}-fault`);
  input.name = name;
  const title = h("label", { htmlFor: id }, label, required && h("em", {}, " required"));
  const element = h("div", { className: input.type === "checkbox" ? "field check" : "field" },
    title, input, h("small", { className: "minor", id: `${id}-hint` }, text), fault);
  return {
    name,
    element,
    input,
    read: () => {
      const value = read();
      if (value === undefined && required) throw new Error("This is needed.");
      return value;
    },
    complain: (complaint) => {
      fault.textContent = complaint;
      input.ariaInvalid = String(Boolean(complaint));
    },
  };
}

/** The fields of an object's schema. */
export function makeFields(root) {
  const schema = resolve(root, root);
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, property]) =>
    makeField(name, resolve(property, root), { required: required.has(name) }));
}

/** A schema with its reference followed, and without the null that stands for leaving it out. */
function resolve(schema, root) {
  if (schema.$ref) {
    const { $ref, ...rest } = schema;
    const target = $ref.split("/").slice(1).reduce((node, part) => node[part], root);
    return resolve({ ...target, ...rest }, root);
  }
  const others = schema.anyOf?.filter((option) => option.type !== "null");
  if (others?.length === 1) {
    const { anyOf, ...rest } = schema;
    return resolve({ ...others[0], ...rest }, root);
  }
  return schema;
}

function control(schema) {
  if (schema.enum) return choice(schema);
  switch (schema.type) {
    case "boolean":
      return flag(schema);
    case "integer":
    case "number":
      return number(schema);
    case "string":
      return text(schema);
    default:
      return json(schema);
  }
}

function choice(schema) {
  const options = schema.enum.map((value) => h("option", { value: JSON.stringify(value) }, String(value)));
  const input = h("select", {}, h("option", { value: "" }, "–"), ...options);
  if (schema.default !== undefined) input.value = JSON.stringify(schema.default);
  return { input, read: () => (input.value ? JSON.parse(input.value) : undefined) };
}

function flag(schema) {
  const input = h("input", { type: "checkbox", checked: schema.default === true });
  return { input, read: () => input.checked };
}

function number(schema) {
  const input = h("input", { type: "number", step: schema.type === "integer" ? 1 : "any" });
  for (const [name, limit] of [["min", schema.minimum], ["max", schema.maximum]]) if (limit !== undefined) input[name] = limit;
  if (schema.default != null) input.value = schema.default;
  const read = () => {
    if (!input.validity.valid) throw new Error(input.validationMessage);
    return input.value === "" ? undefined : input.valueAsNumber;
  };
  return { input, read };
}

function text(schema) {
  const input = h("input", { type: "text", autocomplete: "off", spellcheck: false, value: schema.default ?? "" });
  return { input, read: () => (input.value === "" && schema.default !== "" ? undefined : input.value) };
}

function json(schema) {
  const input = h("textarea", { rows: 3, spellcheck: false, value: schema.default == null ? "" : JSON.stringify(schema.default) });
  const read = () => {
    if (!input.value.trim()) return undefined;
    try {
      return JSON.parse(input.value);
    } catch {
      throw new Error('This is no JSON. A list is ["a", "b"], an object {"key": 1}.');
    }
  };
  return { input, read };
}

function describe(schema) {
  const kind = { array: "A JSON list", object: "A JSON object", integer: "A whole number", number: "A number" }[schema.type];
  const free = schema.type || schema.enum ? undefined : "JSON";
  const standard = schema.default != null && schema.default !== "" ? `${JSON.stringify(schema.default)} by default` : undefined;
  return [schema.description ?? kind ?? free, standard].filter(Boolean).join(", ");
}
