// What happens now: tiles of state, plots, and calls with their hops. In: the answers of /console/state and
// /console/calls. Out: the Live part of the page.

import { byId, bytes, copyButton, count, el, ms, span, svg } from "./dom.js";
import { drawLatency, drawRate, spark } from "./plots.js";

/** Hops in the order of a call, with what happens in each. */
const HOPS = [
  ["verify", "Who is calling: the token is checked"],
  ["limit", "Whether the caller may call again already"],
  ["tenant", "For which organization, with which token"],
  ["queue", "A turn at the backend"],
  ["session", "The backend opens a session"],
  ["request", "The backend answers the request"],
  ["pause", "A pause before another try"],
  ["present", "The answer is put into words"],
];
const KEPT = 5000;
const SHOWN = 200;
const MEMORIES = 60;

let calls = [];
/** The number of the newest call we know of; null before the first look. */
let last = null;
let missed = 0;
let ahead = 0;
let isPaused = false;
let held = [];
const memories = [];

/** The highest number we have. */
export const lastNumber = () => last ?? 0;

/** Everything of before is of another process. */
export function startAnew() {
  calls = [];
  last = null;
  miss(-missed);
  held = [];
  memories.length = 0;
  byId("calls").replaceChildren();
  isEmpty();
}

/** The state, in tiles. */
export function showState(state) {
  ahead = Date.parse(state.now) - Date.now();
  memories.push(state.resident_bytes);
  if (memories.length > MEMORIES) memories.shift();
  const { guard } = state;
  const check = (name) => state.checks.find((it) => it.name === name);
  const others = state.checks.filter((it) => !["backend", "keys", "limits", "breaker"].includes(it.name) && (it.trouble || it.remark));
  byId("tiles").replaceChildren(
    backendTile(check("backend"), state.calls),
    keysTile(check("keys"), state.auth),
    limitsTile(check("limits"), guard),
    breakerTile(guard),
    tile("Connections", count(state.connections.open), null, `${count(state.connections.streams)} streams, ${count(state.calls.running)} calls running`),
    tile("Memory", bytes(state.resident_bytes), null, `up ${span(state.uptime_s)}`, memories.length > 1 ? spark(memories) : null),
    ...others.map((it) => tile(it.name, it.trouble ? "trouble" : "look", it.trouble ? "bad" : "warn", it.trouble ?? it.remark)),
  );
}

function tile(name, value, mood, note, picture) {
  return el("li", { class: `tile ${mood ?? ""}` }, el("h3", {}, name, picture ?? null), el("p", { class: "value" }, value), el("p", {}, note));
}

function backendTile(check, calls) {
  const trouble = check?.trouble;
  const word = trouble ? "Away" : "Reachable";
  return tile("Backend", word, trouble ? "bad" : check?.remark ? "warn" : null, trouble ?? check?.remark ?? `${count(calls.ok)} calls ok, ${count(calls.failed)} failed`);
}

function keysTile(check, auth) {
  if (auth.kind === "none") return tile("Keys", "None", "warn", "no token is asked for (auth.mode = none)");
  const keys = auth.issuers.reduce((all, it) => all + it.keys, 0);
  const ages = auth.issuers.map((it) => it.age_s).filter((age) => age !== null && age !== undefined);
  const of = auth.issuers.length === 1 ? auth.issuers[0].issuer : `${auth.issuers.length} issuers`;
  const note = ages.length > 0 ? `${of}, fetched ${span(Math.max(...ages))} ago` : of;
  return tile("Keys", `${keys} ${keys === 1 ? "key" : "keys"}`, check?.trouble ? "bad" : null, check?.trouble ?? note);
}

function limitsTile(check, guard) {
  const { allowed, blocked } = guard.decisions;
  const slots = `${count(guard.slots.held)} at the backend, ${count(guard.slots.waiting)} waiting`;
  const value = el("span", {}, count(blocked), " ", el("small", {}, `of ${count(allowed + blocked)} refused`));
  return tile("Limits", value, guard.degraded ? "warn" : null, guard.degraded ? (check?.remark ?? "degraded: stricter limits hold") : slots);
}

function breakerTile(guard) {
  const words = { closed: ["Closed", null], half_open: ["Half open", "warn"], open: ["Open", "bad"] };
  const [word, mood] = words[guard.breaker] ?? [guard.breaker, "warn"];
  const tools = guard.open_tools;
  return tile("Breaker", word, mood ?? (tools > 0 ? "warn" : null), tools > 0 ? `open for ${tools} ${tools === 1 ? "tool" : "tools"}` : "calls go through");
}

/** Calls that have ended since. */
export function takeCalls(answer) {
  const [first] = answer.calls;
  // The sidecar keeps fewer than may end between two looks. What was before the first look is not missed.
  if (first && last !== null && first.number > last + 1) miss(first.number - last - 1);
  last = answer.last;
  for (const call of answer.calls) call.at_ms = Date.parse(call.at);
  calls = calls.concat(answer.calls).slice(-KEPT);
  if (isPaused) held = held.concat(answer.calls).slice(-SHOWN);
  else showCalls(answer.calls);
  pauseWord();
}

/** Says how many calls neither list nor plots have. */
function miss(more) {
  missed += more;
  const note = byId("missed");
  note.hidden = missed === 0;
  note.textContent = `${count(missed)} ${missed === 1 ? "call" : "calls"} not shown, nor in the plots: more ended between two looks of this page than the sidecar keeps. The log has them.`;
}

function showCalls(fresh) {
  const body = byId("calls");
  const rows = fresh.slice(-SHOWN).map(row);
  for (const made of rows) body.prepend(made);
  while (body.querySelectorAll(".call").length > SHOWN) body.lastElementChild.remove();
  filter();
}

function row(call) {
  const name = el("button", { type: "button", "aria-expanded": "false" }, call.tool);
  const aliased = call.alias ? [" ", el("span", { class: "quiet small" }, `as ${call.alias}`)] : [];
  const made = el("tr", { class: "call fresh", "data-number": call.number },
    el("td", { class: "quiet mono" }, clock(call.at_ms)),
    el("td", {}, name, aliased),
    el("td", { class: "wide" }, call.tenant ?? "–"),
    el("td", { class: "wide quiet" }, call.client ?? "–"),
    el("td", {}, outcomeBadge(call.outcome), call.repeated ? el("span", { class: "badge plain" }, "repeated") : null),
    el("td", { class: "hops" }, strip(call)),
    el("td", { class: "number mono" }, call.duration_ms.toFixed(call.duration_ms < 100 ? 2 : 0)),
  );
  made.call = call;
  made.addEventListener("animationend", () => made.classList.remove("fresh"));
  made.addEventListener("click", () => toggle(made));
  return made;
}

const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

/** How a call ended, in colour and word. */
export function outcomeBadge(outcome) {
  return el("span", { class: outcome === "ok" ? "badge good" : "badge" }, outcome);
}

/** The hops of a call on one line, over its own time. */
function strip(call) {
  const whole = Math.max(call.duration_ms, 0.001);
  const picture = svg("svg", { class: "strip", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": call.hops.map((hop) => `${hop.name} ${ms(hop.ms)}`).join(", ") });
  for (const hop of call.hops) {
    picture.append(svg("rect", { class: `hop-${hop.name}`, x: (hop.start_ms / whole) * 100, width: Math.max(0.6, (hop.ms / whole) * 100), y: 0, height: 10 }));
  }
  return picture;
}

function toggle(made, only) {
  const open = made.nextElementSibling?.classList.contains("detailrow") ? made.nextElementSibling : null;
  if (open && only === "open") return;
  made.classList.toggle("open", !open);
  made.querySelector("button").setAttribute("aria-expanded", String(!open));
  if (open) open.remove();
  else made.after(el("tr", { class: "detailrow" }, el("td", { colspan: columns() }, waterfall(made.call), facts(made.call))));
}

/** As many as are shown: with more, those would get room too. */
const columns = () => [...document.querySelectorAll(".calls th")].filter((head) => head.offsetParent !== null).length;

/** The hops under each other, each where it was in the call's time. */
function waterfall(call) {
  const whole = Math.max(call.duration_ms, ...call.hops.map((hop) => hop.start_ms + hop.ms), 0.001);
  const fall = el("div", { class: "fall", role: "list", "aria-label": `Hops of ${call.tool}` });
  const scale = el("span", { class: "scale" }, [0, 0.25, 0.5, 0.75, 1].map((part) => el("span", {}, part === 0 ? "0" : ms(whole * part))));
  fall.append(el("span", {}), scale, el("span", {}));
  for (const hop of call.hops) {
    const bar = el("i", { class: `hop-${hop.name}` });
    bar.style.left = `${(hop.start_ms / whole) * 100}%`;
    bar.style.width = `${(hop.ms / whole) * 100}%`;
    const about = HOPS.find(([name]) => name === hop.name)?.[1] ?? hop.name;
    fall.append(
      el("span", { role: "listitem", title: about, "data-hop": hop.name }, hop.name),
      el("span", { class: "track" }, bar),
      el("span", { class: "took mono" }, ms(hop.ms)),
    );
  }
  return fall;
}

function facts(call) {
  const list = el("dl", { class: "facts" });
  const add = (name, value) => list.append(el("div", {}, el("dt", {}, name), el("dd", {}, value ?? "–")));
  add("Outcome", call.outcome);
  add("Whole call", ms(call.duration_ms));
  add("Backend", call.backend_ms === null ? "not asked" : `${ms(call.backend_ms)}, session ${ms(call.session_ms)}`);
  add("Backend's status", call.status);
  add("Sessions, retries", `${call.sessions}, ${call.retries}`);
  add("Request, response", `${bytes(call.request_bytes)}, ${bytes(call.response_bytes)}`);
  add("Tenant", call.tenant);
  add("Person (digest)", call.person);
  add("Client", call.client);
  add("Protocol", call.protocol);
  add("Ended", new Date(call.at_ms).toISOString());
  add("Correlation id", el("span", { class: "mono" }, call.correlation_id, " ", copyButton(() => call.correlation_id)));
  if (call.trace_id) add("Trace id", el("span", { class: "mono" }, call.trace_id, " ", copyButton(() => call.trace_id)));
  return list;
}

/** Opens the call with this correlation id, if it is here. */
export function openCall(correlation) {
  const found = [...byId("calls").querySelectorAll(".call")].find((made) => made.call.correlation_id === correlation);
  if (!found) return false;
  found.hidden = false;
  toggle(found, "open");
  found.scrollIntoView({ block: "center" });
  found.querySelector("button").focus();
  return true;
}

function filter() {
  const text = byId("filter-tool").value.trim().toLowerCase();
  const outcome = byId("filter-outcome").value;
  let shown = 0;
  for (const made of byId("calls").querySelectorAll(".call")) {
    const { call } = made;
    const words = [call.tool, call.alias, call.tenant, call.client, call.correlation_id, call.trace_id, call.person];
    const fits = words.some((word) => word?.toLowerCase().includes(text)) &&
      (outcome === "" || call.outcome === outcome || (outcome === "failed" && call.outcome !== "ok"));
    made.hidden = !fits;
    const below = made.nextElementSibling;
    if (below?.classList.contains("detailrow")) below.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  knownOutcomes();
  isEmpty(shown);
}

/** Each code that was seen can be chosen. */
function knownOutcomes() {
  const select = byId("filter-outcome");
  const known = new Set([...select.options].map((option) => option.value));
  for (const { outcome } of calls) {
    if (known.has(outcome)) continue;
    known.add(outcome);
    select.append(el("option", { value: outcome }, outcome));
  }
}

function isEmpty(shown = 0) {
  const note = byId("no-calls");
  note.hidden = shown > 0;
  if (calls.length > 0) note.textContent = "None of the calls fits the filter.";
}

function pauseWord() {
  const waiting = isPaused && held.length > 0 ? ` (${held.length})` : "";
  byId("pause").textContent = isPaused ? `Go on${waiting}` : "Pause";
}

/** Draws what changes with the time alone. */
export function drawPlots() {
  const seconds = Number(document.querySelector("input[name=window]:checked").value);
  const now = Date.now() + ahead;
  drawRate(byId("rate"), byId("rate-note"), calls, now, seconds);
  drawLatency(byId("latency"), byId("latency-note"), calls, now, seconds);
}

byId("legend").append(...HOPS.map(([name, about]) => el("li", { class: `hop-${name}`, title: about }, name)));
byId("filter-tool").addEventListener("input", filter);
byId("filter-outcome").addEventListener("change", filter);
byId("window").addEventListener("change", drawPlots);
window.addEventListener("resize", drawPlots);
byId("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  if (!isPaused) showCalls(held.splice(0));
  pauseWord();
});
