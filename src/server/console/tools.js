// The catalogue: search, schemas, what each tool costs a model, and a form to try it. In: the answer of
// /console/catalogue. Out: the Tools part of the page.

import { ask } from "./ask.js";
import { byId, copyButton, count, el, jsonTree, ms } from "./dom.js";
import { fieldsOf } from "./form.js";
import { openCall, outcomeBadge } from "./live.js";

const ARMED_MS = 6000;

let catalogue = { tools: [], tokens: 0 };
let chosen = null;
let wantsToken = false;
// The caller's token: in this page's memory, nowhere else.
let callerToken = "";

/** Shows a catalogue, keeping what is chosen where it is still there. */
export function showCatalogue(answer, authKind) {
  catalogue = answer;
  wantsToken = authKind !== "none";
  byId("tool-count").textContent = String(answer.tools.length);
  list();
  const again = answer.tools.find((tool) => tool.name === chosen) ?? answer.tools[0];
  if (again) choose(again);
}

function list() {
  const words = byId("tool-search").value.trim().toLowerCase().split(/\s+/);
  const fits = (tool) => words.every((word) => [tool.name, tool.title, tool.description, tool.effect].some((text) => text?.toLowerCase().includes(word)));
  const found = catalogue.tools.filter(fits);
  const order = byId("tool-order").value;
  if (order === "name") found.sort((one, other) => one.name.localeCompare(other.name));
  if (order === "tokens") found.sort((one, other) => other.tokens - one.tokens);
  const most = Math.max(1, ...catalogue.tools.map((tool) => tool.tokens));
  byId("tool-list").replaceChildren(...found.map((tool) => entry(tool, most)));
  const shown = found.length === catalogue.tools.length ? `${found.length} tools` : `${found.length} of ${catalogue.tools.length} tools`;
  byId("tool-sum").textContent = `${shown}, ${count(catalogue.tokens)} tokens in all for a model that lists them`;
}

function entry(tool, most) {
  const meter = el("i");
  meter.style.width = `${(tool.tokens / most) * 100}%`;
  const button = el("button", { type: "button", "data-tool": tool.name, "aria-current": String(tool.name === chosen) },
    el("span", { class: "name" }, tool.name),
    el("span", { class: "tokens" }, tool.effect === "write" ? el("span", { class: "badge write" }, "write") : null, ` ${count(tool.tokens)} tokens`),
    el("span", { class: "about" }, tool.description),
    el("span", { class: "meter", "aria-hidden": "true" }, meter),
  );
  button.addEventListener("click", () => choose(tool));
  return el("li", {}, button);
}

function choose(tool) {
  chosen = tool.name;
  for (const button of byId("tool-list").querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.tool === chosen));
  byId("tool").replaceChildren(about(tool), trying(tool), schema(tool));
}

function about(tool) {
  const share = catalogue.tokens > 0 ? ` (${((tool.tokens / catalogue.tokens) * 100).toFixed(1)} % of the list)` : "";
  const scopes = tool.scopes.length > 0 ? el("p", { class: "quiet small" }, `Needs ${tool.scopes.join(", ")}`) : null;
  return el("div", { class: "panel" },
    el("div", { class: "toolhead" }, el("h2", { class: "mono" }, tool.name), el("span", { class: `badge ${tool.effect}` }, tool.effect),
      el("span", { class: "quiet small" }, `${tool.title ?? ""}, ${count(tool.tokens)} tokens${share}`)),
    el("p", {}, tool.description), scopes);
}

function schema(tool) {
  const required = tool.input_schema.required ?? [];
  const isDescribed = Object.values(tool.input_schema.properties ?? {}).some((rule) => rule.description);
  const rows = Object.entries(tool.input_schema.properties ?? {}).map(([name, rule]) => el("tr", {},
    el("td", {}, el("span", { class: "mono" }, name), required.includes(name) ? el("span", { class: "must", title: "required" }, " *") : null),
    el("td", { class: "quiet" }, typeWords(rule)),
    isDescribed ? el("td", {}, rule.description ?? "") : null,
  ));
  const raw = (title, value) => value ? el("details", { class: "raw" }, el("summary", {}, title), el("div", { class: "bar tight" }, copyButton(() => JSON.stringify(value, null, 2))), jsonTree(value, 9)) : null;
  return el("div", { class: "panel" },
    el("h3", {}, "Arguments"),
    rows.length > 0 ? el("table", { class: "params" }, el("thead", {}, el("tr", {}, ["Name", "Type", ...(isDescribed ? ["Meaning"] : [])].map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, rows)) : el("p", { class: "quiet" }, "None."),
    raw("Input schema", tool.input_schema), raw("Output schema", tool.output_schema));
}

/** A schema in a few words. */
function typeWords(rule) {
  if (rule.enum) return rule.enum.map((value) => JSON.stringify(value)).join(" | ");
  const type = [rule.type].flat().filter(Boolean).join(" or ") || "anything";
  const of = rule.items?.type ? ` of ${rule.items.type}` : "";
  const limits = [rule.format, rule.minimum !== undefined && `from ${rule.minimum}`, rule.maximum !== undefined && `to ${rule.maximum}`, rule.maxLength !== undefined && `up to ${rule.maxLength} characters`, rule.default !== undefined && `default ${JSON.stringify(rule.default)}`];
  return [type + of, ...limits.filter(Boolean)].join(", ");
}

function trying(tool) {
  const { nodes, read } = fieldsOf(tool.input_schema);
  const result = el("div", { "aria-live": "polite" });
  const run = el("button", { type: "submit", class: "primary" }, "Run");
  const note = el("span", { class: "quiet small" }, tool.effect === "write" ? "Writes to the backend; asks once more before it does." : "Reads only.");
  const form = el("form", { class: "panel", novalidate: true, "aria-label": `Try ${tool.name}` },
    el("h3", {}, "Try it"), el("div", { class: "form" }, nodes, wantsToken ? tokenField() : null), el("div", { class: "run" }, run, note), result);
  const arming = armed(tool, run, note);
  form.addEventListener("input", arming.disarm);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const args = read();
    if (args === null || !arming.pulled()) return;
    run.disabled = true;
    await tried(tool, args, result);
    run.disabled = false;
  });
  return form;
}

/** A write asks for one more click, soon after the first. */
function armed(tool, run, note) {
  const usual = note.textContent;
  let timer = null;
  const disarm = () => {
    clearTimeout(timer);
    timer = null;
    run.textContent = "Run";
    run.className = "primary";
    note.textContent = usual;
  };
  const pulled = () => {
    if (tool.effect !== "write") return true;
    if (timer !== null) {
      disarm();
      return true;
    }
    timer = setTimeout(disarm, ARMED_MS);
    run.textContent = "Yes, write it";
    run.className = "danger";
    note.textContent = "This changes real records of the backend. Click again to send it.";
    return false;
  };
  return { disarm, pulled };
}

function tokenField() {
  const field = el("input", { type: "password", autocomplete: "off", spellcheck: "false", placeholder: "Access token of the person who calls", id: "caller-token" });
  field.value = callerToken;
  field.addEventListener("input", () => { callerToken = field.value.trim(); });
  return el("label", { class: "field wholeline" }, el("span", {}, "Caller's token", el("em", {}, "kept in this page's memory only")), field);
}

async function tried(tool, args, place) {
  const body = { tool: tool.name, arguments: args };
  if (wantsToken && callerToken) body.token = callerToken;
  const begun = performance.now();
  place.replaceChildren(el("p", { class: "quiet small" }, "Running…"));
  try {
    const answer = await ask("try", body);
    place.replaceChildren(outcomeOf(answer, performance.now() - begun));
  } catch (error) {
    place.replaceChildren(el("div", { class: "result" }, el("p", { class: "wrong" }, error.message)));
  }
}

function outcomeOf(answer, took) {
  const error = answer.result?.error;
  const see = el("button", { type: "button", class: "ghost" }, "Show its hops");
  see.addEventListener("click", () => {
    byId("tab-live").click();
    // The next poll brings it, if the last one did not.
    if (!openCall(answer.correlation_id)) setTimeout(() => openCall(answer.correlation_id), 1500);
  });
  const head = el("div", { class: "toolhead" }, outcomeBadge(answer.outcome), el("span", { class: "quiet small" }, ms(took)),
    el("span", { class: "grow" }), answer.correlation_id ? see : null, copyButton(() => JSON.stringify(answer.result, null, 2), "Copy result"));
  const hint = error ? el("p", { class: "says" }, error.message) : null;
  const id = answer.correlation_id ? el("p", { class: "quiet small" }, "Correlation id ", el("span", { class: "mono" }, answer.correlation_id)) : null;
  return el("div", { class: "result" }, head, hint, jsonTree(answer.result, 4), id);
}

byId("tool-search").addEventListener("input", list);
byId("tool-order").addEventListener("change", list);
