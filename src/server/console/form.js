// A form from a tool's input schema. In: the schema. Out: fields, and a function that reads them: the arguments, or null
// where one cannot be read, which its field then says. A field left empty is an argument left out.

import { el } from "./dom.js";

/** `{ nodes, read }` */
export function fieldsOf(schema) {
  const required = schema.required ?? [];
  const fields = Object.entries(schema.properties ?? {}).map(([name, rule]) => field(name, rule, required.includes(name)));
  fields.sort((one, other) => Number(other.isRequired) - Number(one.isRequired));
  const read = () => {
    const args = {};
    let wrong = null;
    for (const it of fields) {
      const { value, trouble } = it.read();
      it.blame(trouble);
      if (trouble) wrong ??= it;
      else if (value !== undefined) args[it.name] = value;
    }
    wrong?.control.focus();
    return wrong ? null : args;
  };
  return { nodes: fields.map((it) => it.node), read };
}

function field(name, rule, isRequired) {
  const kind = kindOf(rule);
  const id = `argument-${name}`;
  const control = kind.control(rule, { id, name, "aria-required": String(isRequired), "aria-describedby": `${id}-wrong`, autocomplete: "off", spellcheck: "false" });
  const wrong = el("span", { class: "wrong", id: `${id}-wrong`, hidden: true });
  const hint = [kind.word(rule), rule.description].filter(Boolean).join(": ");
  const label = el("span", {}, name, isRequired ? el("span", { class: "must", title: "required" }, "*") : null, el("em", {}, hint));
  const node = el("label", { class: kind.isWide ? "field wholeline" : "field", for: id }, label, control, wrong);
  const read = () => {
    const text = control.value;
    if (text.trim() === "") return isRequired ? { trouble: "This one is required." } : {};
    return kind.read(text, rule);
  };
  const blame = (trouble) => {
    control.setAttribute("aria-invalid", String(Boolean(trouble)));
    wrong.hidden = !trouble;
    wrong.textContent = trouble ?? "";
  };
  return { name, isRequired, node, control, read, blame };
}

const choice = (values, attributes, labels = values) => el("select", attributes, el("option", { value: "" }, "–"), values.map((value, at) => el("option", { value }, labels[at])));
const json = (text) => {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { trouble: `This is no JSON: ${error.message}` };
  }
};

const KINDS = {
  enum: {
    control: (rule, attributes) => choice(rule.enum.map((value) => JSON.stringify(value)), attributes, rule.enum.map(String)),
    word: () => "one of these",
    read: json,
  },
  boolean: { control: (_, attributes) => choice(["true", "false"], attributes), word: () => "yes or no", read: json },
  number: {
    control: (rule, attributes) => el("input", { ...attributes, inputmode: "decimal", placeholder: rule.default === undefined ? null : String(rule.default) }),
    word: (rule) => [rule.type === "integer" ? "whole number" : "number", rule.minimum !== undefined && `from ${rule.minimum}`, rule.maximum !== undefined && `to ${rule.maximum}`].filter(Boolean).join(" "),
    read: (text, rule) => {
      const value = Number(text);
      if (!Number.isFinite(value)) return { trouble: "This is no number." };
      return rule.type === "integer" && !Number.isInteger(value) ? { trouble: "This is no whole number." } : { value };
    },
  },
  string: {
    control: (rule, attributes) => rule.format ? el("input", { ...attributes, class: "mono", placeholder: rule.format === "uuid" ? "00000000-0000-4000-8000-000000000000" : null }) : el("textarea", { ...attributes, rows: 1 }),
    word: (rule) => rule.format ?? "text",
    read: (text) => ({ value: text }),
  },
  json: {
    isWide: true,
    control: (rule, attributes) => el("textarea", { ...attributes, rows: 1, placeholder: rule.type === "array" ? "[\"…\"]" : "{ }" }),
    word: (rule) => rule.type === "array" ? `JSON, a list${rule.items?.type ? ` of ${rule.items.type}` : ""}` : "JSON",
    read: (text, rule) => {
      const read = json(text);
      if (read.trouble) return read;
      const isList = Array.isArray(read.value);
      if (rule.type === "array" && !isList) return { trouble: "This is no list." };
      if (rule.type === "object" && (isList || typeof read.value !== "object" || read.value === null)) return { trouble: "This is no object." };
      return read;
    },
  },
};

function kindOf(rule) {
  if (Array.isArray(rule.enum)) return KINDS.enum;
  const types = [rule.type].flat().filter((type) => type && type !== "null");
  if (types.length !== 1) return KINDS.json;
  return { boolean: KINDS.boolean, integer: KINDS.number, number: KINDS.number, string: KINDS.string }[types[0]] ?? KINDS.json;
}
