// Form fields made from a JSON Schema.

import { h } from "./dom.js";

/** A field. `read` gives undefined for what was left empty, and throws an Error that says what is wrong. */
export function makeField(name, schema, { label = name, hint = describe(schema), isRequired = false, isParam = false } = {}) {
	const { input, read } = control(schema);
	const id = `field-${name}`;
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
			if (value === undefined && isRequired) throw new Error("This is needed.");
			return value;
		},
		complain(text) {
			fault.textContent = text;
			input.ariaInvalid = text !== "";
			if (text) input.closest("details")?.setAttribute("open", "");
			if (text) input.focus();
		},
	};
}

/** The fields of the params that a schema describes. */
export function paramFields(root) {
	const { properties = {}, required = [] } = resolve(root, root);
	return Object.entries(properties).map(([name, schema]) =>
		makeField(name, resolve(schema, root), { isRequired: required.includes(name), isParam: true }));
}

/** A schema without references, and without the null that stands for nothing. */
function resolve({ $ref, anyOf, ...schema }, root) {
	if ($ref) return resolve({ ...$ref.split("/").slice(1).reduce((node, part) => node[part], root), ...schema }, root);
	const others = anyOf?.filter((each) => each.type !== "null") ?? [];
	return others.length === 1 ? resolve({ ...others[0], ...schema }, root) : schema;
}

function control(schema) {
	if (schema.enum) return choice(schema);
	return ({ boolean: flag, integer: number, number, string: text }[schema.type] ?? json)(schema);
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

function json({ default: standard }) {
	const input = h("textarea", { rows: 3, value: standard == null ? "" : JSON.stringify(standard) });
	const read = () => {
		try {
			return input.value.trim() ? JSON.parse(input.value) : undefined;
		} catch {
			throw new Error('This is no JSON. A list is ["a", 1], an object {"key": 2}.');
		}
	};
	return { input, read };
}

function describe({ description, type, enum: values }) {
	const kinds = { array: "a JSON list", object: "a JSON object", integer: "a whole number" };
	return description ?? kinds[type] ?? (type || values ? "" : "JSON");
}
