// What a JSON Schema asks for, and how a text that somebody typed becomes such a value.

const IS_OF_TYPE = {
  integer: Number.isInteger,
  number: (value) => typeof value === "number",
  boolean: (value) => typeof value === "boolean",
  array: Array.isArray,
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

const PLAIN = new Set(["string", "integer", "number"]);

/** A fault in a field: what is wrong, and what to write. */
export class FieldFault extends Error {}

/** A schema without references, and without null as an alternative. */
export function resolve({ $ref, anyOf, ...schema }, root) {
  if ($ref) return resolve({ ...$ref.split("/").slice(1).reduce((node, part) => node[part], root), ...schema }, root);
  const others = anyOf?.filter((each) => each.type !== "null") ?? [];
  if (others.length > 1) return { ...schema, anyOf: others.map((each) => resolve(each, root)) };
  return others.length ? resolve({ ...others[0], ...schema }, root) : schema;
}

/** The properties of an object's schema: a list of `name`, `schema` and `isRequired`. */
export function propertiesOf(schema, root) {
  const { properties = {}, required = [] } = resolve(schema, root);
  return Object.entries(properties).map(([name, each]) => ({ name, schema: resolve(each, root), isRequired: required.includes(name) }));
}

/** The kind of input that fits a schema: choice, flag, number, text, lines, mixed, group or json. */
export function kindOf(schema, root) {
  const types = [schema.type].flat();
  if (schema.enum) return "choice";
  if (schema.anyOf?.some(({ type }) => type === "string")) return "mixed";
  if (types.includes("string")) return "text"; // also the slot of a command: its value becomes text
  if (types.includes("boolean")) return "flag";
  if (types.includes("integer") || types.includes("number")) return "number";
  if (types.includes("array") && schema.items && PLAIN.has(resolve(schema.items, root).type)) return "lines";
  if (types.includes("object") && schema.properties) return "group";
  return "json";
}

/** What the input of a schema shows for a value: a text, or true and false for a flag. */
export function shownOf(schema, root, value = schema.default) {
  const kind = kindOf(schema, root);
  if (kind === "flag") return value === true;
  if (kind === "group") return groupShown(schema, root, value ?? {});
  if (value === undefined || value === null) return "";
  if (kind === "choice") return JSON.stringify(value);
  if (kind === "lines") return Array.isArray(value) ? value.join("\n") : "";
  return typeof value === "string" ? value : JSON.stringify(value, null, kind === "json" ? 2 : 0);
}

const groupShown = (schema, root, value) =>
  Object.fromEntries(propertiesOf(schema, root).map((each) => [each.name, shownOf(each.schema, root, value[each.name] ?? each.schema.default)]));

/**
 * The value that an input stands for, or undefined if it is empty.
 * @throws FieldFault
 */
export function valueOf(schema, root, shown) {
  const read = READ[kindOf(schema, root)];
  return read(shown, schema, root);
}

const READ = {
  choice: (shown) => (shown ? JSON.parse(shown) : undefined),
  flag: (shown) => shown,
  text: (shown, { default: standard }) => (shown !== "" || standard === "" ? shown : undefined),
  number: readNumber,
  lines: readLines,
  mixed: readMixed,
  json: readJson,
  group: () => undefined, // its fields are read one by one
};

function readNumber(shown, { type, minimum, maximum }) {
  if (shown.trim() === "") return undefined;
  const number = Number(shown);
  if (Number.isNaN(number)) throw new FieldFault("Write a number.");
  if (type === "integer" && !Number.isInteger(number)) throw new FieldFault("Write a whole number.");
  if (number < minimum) throw new FieldFault(`Write ${minimum} or more.`);
  if (number > maximum) throw new FieldFault(`Write ${maximum} or less.`);
  return number;
}

function readLines(shown, { items }, root) {
  const lines = shown.split("\n").map((line) => line.trim()).filter(Boolean);
  if (!lines.length) return undefined;
  const schema = resolve(items, root);
  return schema.type === "string" ? lines : lines.map((line) => readNumber(line, schema));
}

/** Text, unless it is JSON of another type that the schema allows. */
function readMixed(shown, { anyOf }) {
  try {
    const value = JSON.parse(shown);
    if (anyOf.some(({ type }) => IS_OF_TYPE[type]?.(value))) return value;
  } catch {
    // It is text.
  }
  return shown || undefined;
}

function readJson(shown) {
  if (!shown.trim()) return undefined;
  try {
    return JSON.parse(shown);
  } catch (error) {
    throw new FieldFault(`Not JSON: ${error.message}. Write a list like ["a", 1], or an object like {"key": 2}.`);
  }
}

/** What to write into a field, if its schema does not say so. */
export function hintOf({ description, type, enum: values, anyOf, minimum, maximum }) {
  if (description) return description;
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum}`;
  const kinds = { array: "a JSON list", object: "a JSON object", integer: "a whole number" };
  const isText = anyOf?.some((each) => each.type === "string");
  return kinds[type] ?? (type || values ? "" : isText ? "text, or JSON" : "JSON");
}
