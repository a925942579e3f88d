// Form fields made from a JSON Schema.

import { h } from "./dom.js";

const OPTION_NAMES = ["handler", "name", "duration", "priority", "delay", "timeout", "retries", "on_conflict"]; // ids are unique

/** A field. `read` returns undefined if the field is empty, and throws an Error with the fault. */
export function makeField(name, schema, { label = name, hint = describe(schema), isRequired = false, isParam = false } = {}) {
	const { input, read } = control(schema);
	const id = isParam && OPTION_NAMES.includes(name) ? `field-params-${name}` : `field-${name}`;
	const fault = h("small", { className: "problem", id: `${id}-fault` });
	Object.assign(input, { id, name, ariaRequired: isRequired, spellcheck: false });
	input.setAttribute("aria-describedby", `${id}-hint ${id}-fault`);
	const title = h("label", { htmlFor: id }, label, isRequired && h("span", { className: "minor" }, " required"));
	return {
		path: isParam ? `params.${name}` : name,
		name,
		isParam,
		input,
		element: h("div", { className: "field" }, title, input, h("small", { className: "minor", id: `${id}-hint` }, hint), fault),
		read() {
			const value = read();
			if (value === undefined && isRequired) throw new Error("This field is required.");
			return value;
		},
		complain(text) {
			fault.textContent = text;
			input.ariaInvalid = text !== "";
			if (text) input.closest("details")?.setAttribute("open", "");
		},
	};
}

/** The fields of the params that a schema describes. */
export function paramFields(root) {
	const { properties = {}, required = [] } = resolve(root, root);
	return Object.entries(properties).map(([name, schema]) =>
		makeField(name, resolve(schema, root), { isRequired: required.includes(name), isParam: true }));
}

/** A schema without references, and without null as an alternative. */
function resolve({ $ref, anyOf, ...schema }, root) {
	if ($ref) return resolve({ ...$ref.split("/").slice(1).reduce((node, part) => node[part], root), ...schema }, root);
	const others = anyOf?.filter((each) => each.type !== "null") ?? [];
	if (others.length > 1) return { ...schema, anyOf: others.map((each) => resolve(each, root)) };
	return others.length ? resolve({ ...others[0], ...schema }, root) : schema;
}

function control(schema) {
	if (schema.enum) return choice(schema);
	if (schema.anyOf?.some(({ type }) => type === "string")) return mixed(schema);
	if ([schema.type].flat().includes("string")) return text(schema); // also a slot of a command: its value becomes text
	return ({ boolean: flag, integer: number, number }[schema.type] ?? json)(schema);
}

function choice({ enum: values, default: standard }) {
	const input = h("select", {}, h("option", { value: "" }), values.map((value) => h("option", { value: JSON.stringify(value) }, String(value))));
	input.value = JSON.stringify(standard) ?? "";
	return { input, read: () => (input.value ? JSON.parse(input.value) : undefined) };
}

function flag({ default: standard }) {
	const input = h("input", { type: "checkbox", checked: standard === true });
	return { input, read: () => input.checked };
}

function number({ type, minimum = "", maximum = "", default: standard = "" }) {
	const input = h("input", { type: "number", step: type === "integer" ? 1 : "any", min: minimum, max: maximum, value: standard });
	const read = () => {
		if (!input.checkValidity()) throw new Error(input.validationMessage);
		return input.value ? input.valueAsNumber : undefined;
	};
	return { input, read };
}

function text({ default: standard }) {
	const input = h("input", { value: standard ?? "", autocomplete: "off" });
	return { input, read: () => input.value || (standard === "" ? "" : undefined) };
}

const IS_OF_TYPE = {
	integer: Number.isInteger,
	number: (value) => typeof value === "number",
	boolean: (value) => typeof value === "boolean",
	array: Array.isArray,
	object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

/** Text, unless it is JSON of another type that the schema allows. */
function mixed({ anyOf, default: standard }) {
	const shown = typeof standard === "string" ? standard : JSON.stringify(standard ?? "").replace(/^""$/, "");
	const input = h("input", { value: shown, autocomplete: "off" });
	const read = () => {
		try {
			const value = JSON.parse(input.value);
			if (anyOf.some(({ type }) => IS_OF_TYPE[type]?.(value))) return value;
		} catch {
			// It is text.
		}
		return input.value || undefined;
	};
	return { input, read };
}

function json({ default: standard }) {
	const input = h("textarea", { rows: 3, value: standard == null ? "" : JSON.stringify(standard) });
	const read = () => {
		try {
			return input.value.trim() ? JSON.parse(input.value) : undefined;
		} catch {
			throw new Error('Invalid JSON. Write a list like ["a", 1], or an object like {"key": 2}.');
		}
	};
	return { input, read };
}

function describe({ description, type, enum: values, anyOf }) {
	const kinds = { array: "a JSON list", object: "a JSON object", integer: "a whole number" };
	const isText = anyOf?.some((each) => each.type === "string");
	return description ?? kinds[type] ?? (type || values ? "" : isText ? "text, or JSON" : "JSON");
}
