// Making elements. In: names, attributes, children. Out: nodes. Foreign text gets into the page as text nodes and
// nothing else: no function here takes markup, and the page's Content-Security-Policy (Trusted Types) forbids it too.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** An element: `el("p", { class: "small" }, "text", child)`. Attributes that are null or false are left out; functions are listeners. */
export function el(name, attributes = {}, ...children) {
  return dressed(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return dressed(document.createElementNS(SVG, name), attributes, children);
}

function dressed(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Milliseconds as people read them. */
export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return value >= 100 ? `${value.toFixed(0)} ms` : value >= 10 ? `${value.toFixed(1)} ms` : `${value.toFixed(2)} ms`;
}

/** Bytes as people read them. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1024) return `${value} B`;
  return value < 1024 * 1024 ? `${(value / 1024).toFixed(1)} KiB` : `${(value / 1024 / 1024).toFixed(1)} MiB`;
}

/** Seconds as people read them. */
export function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return seconds < 48 * 3600 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86400)} days`;
}

/** A whole number with its thousands apart. */
export const count = (value) => Number(value).toLocaleString("en");

/** Says something to people who do not see the page. */
export function say(text) {
  byId("said").textContent = text;
}

/** A button that copies what `text` returns. */
export function copyButton(text, label = "Copy") {
  const button = el("button", { type: "button", class: "copy" }, label);
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text())) ? "Copied" : "Select and copy by hand";
    say(button.textContent);
    setTimeout(() => { button.textContent = label; }, 1600);
  });
  return button;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain HTTP from another machine there is no clipboard for pages.
    const field = el("textarea", { readonly: true });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/** JSON as a tree that folds; the first `open` levels are unfolded. */
export function jsonTree(value, open = 3) {
  return el("div", { class: "json", tabindex: 0, role: "group", "aria-label": "JSON" }, node(null, value, open, ""));
}

function node(key, value, open, comma) {
  const name = key === null ? [] : [el("span", { class: "k" }, JSON.stringify(key)), ": "];
  if (value === null || typeof value !== "object") {
    const kind = typeof value === "string" ? "s" : "n";
    return el("div", { class: "leaf" }, name, el("span", { class: kind }, JSON.stringify(value)), comma);
  }
  const isList = Array.isArray(value);
  const [left, right] = isList ? ["[", "]"] : ["{", "}"];
  const entries = isList ? value.map((item) => [null, item]) : Object.entries(value);
  if (entries.length === 0) return el("div", { class: "leaf" }, name, left + right, comma);
  const folded = el("span", { class: "folded" }, ` ${entries.length} ${isList ? "items" : "members"} ${right}${comma}`);
  const inside = el("div");
  const details = el("details", { open: open > 0 }, el("summary", {}, name, left, folded), inside, el("div", { class: "leaf" }, right, comma));
  // What is folded is made when it is unfolded: an answer may be megabytes.
  const fill = () => {
    if (inside.childElementCount > 0) return;
    const last = entries.length - 1;
    inside.append(...entries.map(([name, item], at) => node(name, item, open - 1, at < last ? "," : "")));
  };
  if (open > 0) fill();
  details.addEventListener("toggle", () => { if (details.open) fill(); });
  return details;
}
