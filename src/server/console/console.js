// The console: asks the operations port once a second what is new, and shows it. Where nobody answers it says so, waits a
// little longer each time, and goes on by itself when the sidecar is back.

import { Unanswered, ask } from "./ask.js";
import { showConnect } from "./connect.js";
import { byId, say, span } from "./dom.js";
import { drawPlots, lastNumber, showState, startAnew, takeCalls } from "./live.js";
import { showCatalogue } from "./tools.js";

const SECOND = 1000;
const LONGEST_PAUSE = 8 * SECOND;
const PARTS = ["live", "tools", "connect"];

let startedAt = null;
let generation = null;
let failures = 0;
let heardAt = Date.now();
let isAsking = false;
let timer = null;

async function poll() {
  if (isAsking) return;
  isAsking = true;
  clearTimeout(timer);
  try {
    const state = await ask("state");
    if (startedAt !== state.started_at) {
      startAnew();
      generation = null;
    }
    startedAt = state.started_at;
    if (generation !== state.catalogue.generation) {
      const catalogue = await ask("catalogue");
      const asksTokens = state.auth.kind !== "none";
      showCatalogue(catalogue, state.auth.kind);
      showConnect(state.mcp_url, catalogue.server.name, asksTokens);
      byId("title").textContent = catalogue.server.title || catalogue.server.name;
      generation = state.catalogue.generation;
    }
    takeCalls(await ask(`calls?after=${lastNumber()}`));
    showState(state);
    well(state);
  } catch (error) {
    unwell(error);
  }
  if (byId("live").hidden === false) drawPlots();
  isAsking = false;
  const pause = failures === 0 ? SECOND : Math.min(SECOND * 2 ** (failures - 1), LONGEST_PAUSE);
  timer = setTimeout(poll, document.hidden ? LONGEST_PAUSE : pause);
}

function well(state) {
  if (failures > 0) say("The sidecar answers again.");
  failures = 0;
  heardAt = Date.now();
  document.body.classList.remove("lost");
  byId("banner").hidden = true;
  const remarks = state.checks.some((check) => check.remark);
  verdict(...(!state.ready ? ["bad", "Not ready"] : remarks ? ["warn", "Ready, look"] : ["good", "Ready"]));
  byId("subtitle").textContent = `toolbridge ${state.version}, ${state.mcp_url}`;
}

function unwell(error) {
  if (!(error instanceof Unanswered)) console.error(error);
  failures += 1;
  document.body.classList.add("lost");
  const isSilent = error instanceof Unanswered && error.status === 0;
  const ago = span((Date.now() - heardAt) / 1000);
  const banner = byId("banner");
  banner.textContent = isSilent ? `The sidecar does not answer; last heard of ${ago} ago. Trying again by itself.` : `The console cannot show more: ${error.message}.`;
  banner.hidden = false;
  verdict("bad", isSilent ? "No answer" : "Refused");
}

function verdict(mood, word) {
  const pill = byId("verdict");
  pill.className = `pill ${mood}`;
  if (pill.textContent !== word) pill.textContent = word;
}

/** Shows one part of the page; the address says which. */
function show(part) {
  for (const name of PARTS) {
    const tab = byId(`tab-${name}`);
    tab.setAttribute("aria-selected", String(name === part));
    tab.tabIndex = name === part ? 0 : -1;
    byId(name).hidden = name !== part;
  }
  if (part === "live") drawPlots();
}

function follow() {
  const part = location.hash.slice(1);
  show(PARTS.includes(part) ? part : "live");
}

for (const [at, name] of PARTS.entries()) {
  const tab = byId(`tab-${name}`);
  // Without moving the focus or the page, as following a link to the part would.
  tab.addEventListener("click", () => { history.pushState(null, "", `#${name}`); show(name); });
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = byId(`tab-${PARTS[(at + step + PARTS.length) % PARTS.length]}`);
    next.focus();
    next.click();
  });
}

for (const event of ["hashchange", "popstate"]) window.addEventListener(event, follow);
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
follow();
poll();
