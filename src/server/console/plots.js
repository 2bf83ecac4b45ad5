// Rate and latency drawn from calls. In: calls with `at_ms`, `duration_ms`, `outcome`, and the time shown. Out: SVG.

import { ms, svg } from "./dom.js";

const BUCKETS = 60;
const EDGE = { left: 44, right: 10, top: 8, bottom: 22 };

/** The value below which this share of the sorted numbers lies. */
export function quantile(sorted, share) {
  if (sorted.length === 0) return null;
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
}

/** Calls of the last `seconds`, in buckets; the last one is still filling. */
export function bucketed(calls, now, seconds) {
  const width = (seconds * 1000) / BUCKETS;
  // On whole widths, so that a bar keeps its calls while it moves to the left.
  const end = Math.ceil(now / width) * width;
  const buckets = Array.from({ length: BUCKETS }, (_, at) => ({ at, from: end - (BUCKETS - at) * width, ok: 0, failed: 0, times: [] }));
  for (const call of calls) {
    const bucket = buckets[Math.floor((call.at_ms - (end - BUCKETS * width)) / width)];
    if (!bucket) continue;
    if (call.outcome === "ok") bucket.ok += 1;
    else bucket.failed += 1;
    bucket.times.push(call.duration_ms);
  }
  for (const bucket of buckets) bucket.times.sort((one, other) => one - other);
  return { buckets, width, end };
}

/** Bars of calls per second, failed ones on top. */
export function drawRate(place, note, calls, now, seconds) {
  const { buckets, width } = bucketed(calls, now, seconds);
  const frame = framed(place, seconds, Math.max(...buckets.map((it) => ((it.ok + it.failed) * 1000) / width)), (value) => shortened(value));
  const step = frame.inner / BUCKETS;
  for (const it of buckets) {
    const [ok, failed] = [it.ok, it.failed].map((number) => (number * 1000) / width);
    const x = EDGE.left + it.at * step + step * 0.12;
    const bar = (from, to, kind) => {
      if (to > from) frame.picture.append(svg("rect", { class: kind, x, width: step * 0.76, y: frame.y(to), height: frame.y(from) - frame.y(to), rx: 1 }));
    };
    bar(0, ok, "bar-ok");
    bar(ok, ok + failed, "bar-failed");
  }
  const [all, failed] = [sum(buckets, (it) => it.ok + it.failed), sum(buckets, (it) => it.failed)];
  const usual = `${all} ${all === 1 ? "call" : "calls"}, ${failed} failed`;
  readable(frame, place, note, buckets, usual, (it) => `${at(it)}: ${it.ok} ok, ${it.failed} failed`);
}

/** A dot a call, lines of p50 and p99. */
export function drawLatency(place, note, calls, now, seconds) {
  const { buckets, width, end } = bucketed(calls, now, seconds);
  const times = buckets.flatMap((it) => it.times).sort((one, other) => one - other);
  const frame = framed(place, seconds, times.at(-1) ?? 0, (value) => shortened(value), "ms");
  const begin = end - BUCKETS * width;
  for (const call of calls) {
    if (call.at_ms < begin || call.at_ms >= end) continue;
    const x = EDGE.left + ((call.at_ms - begin) / (end - begin)) * frame.inner;
    frame.picture.append(svg("circle", { class: call.outcome === "ok" ? "dot" : "dot failed", cx: x, cy: frame.y(call.duration_ms), r: 2 }));
  }
  for (const [share, name] of [[0.99, "p99"], [0.5, "p50"]]) {
    const points = buckets.filter((it) => it.times.length > 0);
    const spots = points.map((it) => [frame.middle(it), frame.y(quantile(it.times, share))]);
    frame.picture.append(svg("path", { class: `line ${name}`, d: spots.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("") }));
    const mark = name === "p50" ? "mark50" : "mark99";
    if (spots.length < 40) for (const [x, y] of spots) frame.picture.append(svg("circle", { class: mark, cx: x, cy: y, r: 2.6 }));
  }
  const usual = times.length === 0 ? "no calls" : `p50 ${ms(quantile(times, 0.5))}, p99 ${ms(quantile(times, 0.99))}`;
  readable(frame, place, note, buckets, usual, (it) =>
    it.times.length === 0 ? `${at(it)}: no calls` : `${at(it)}: p50 ${ms(quantile(it.times, 0.5))}, p99 ${ms(quantile(it.times, 0.99))}`);
}

/** An empty plot with its axes, and where values lie in it. */
function framed(place, seconds, highest, label, unit = "") {
  const width = place.clientWidth || 560;
  const height = place.clientHeight || 168;
  const inner = width - EDGE.left - EDGE.right;
  const tall = height - EDGE.top - EDGE.bottom;
  const step = niceStep(highest || 1);
  const top = Math.max(step, Math.ceil((highest * 1.02) / step) * step);
  const y = (value) => EDGE.top + tall * (1 - value / top);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  for (let value = 0; value <= top + step / 2; value += step) {
    picture.append(
      svg("line", { class: value === 0 ? "base" : "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
      svg("text", { x: EDGE.left - 8, y: y(value) + 4, "text-anchor": "end" }, value === 0 ? `0 ${unit}`.trim() : label(value)),
    );
  }
  for (let part = 0; part <= 4; part += 1) {
    const ago = (seconds * (4 - part)) / 4;
    const text = ago === 0 ? "now" : ago < 120 ? `−${ago} s` : `−${shortened(ago / 60)} min`;
    const anchor = part === 4 ? "end" : part === 0 ? "start" : "middle";
    picture.append(svg("text", { x: EDGE.left + (inner * part) / 4, y: height - 5, "text-anchor": anchor }, text));
  }
  return { picture, inner, y, height, middle: (bucket) => EDGE.left + (bucket.at + 0.5) * (inner / BUCKETS) };
}

/** Shows the plot, and what is under the pointer instead of the usual note. */
function readable(frame, place, note, buckets, usual, words) {
  const { picture, inner } = frame;
  picture.setAttribute("aria-label", usual);
  const hair = svg("line", { class: "hair", y1: EDGE.top, y2: frame.height - EDGE.bottom, visibility: "hidden" });
  picture.append(hair);
  const show = (clientX) => {
    const box = place.getBoundingClientRect();
    const bucket = buckets[Math.floor(((clientX - box.left - EDGE.left) / inner) * BUCKETS)];
    hair.setAttribute("visibility", bucket ? "visible" : "hidden");
    note.textContent = bucket ? words(bucket) : usual;
    if (bucket) for (const end of ["x1", "x2"]) hair.setAttribute(end, frame.middle(bucket));
  };
  // The plot is drawn anew each second, under a pointer that may rest.
  place.onpointermove = (event) => { place.pointer = event.clientX; show(event.clientX); };
  place.onpointerleave = () => { place.pointer = undefined; show(Number.NEGATIVE_INFINITY); };
  place.replaceChildren(picture);
  show(place.pointer ?? Number.NEGATIVE_INFINITY);
}

function niceStep(highest) {
  const rough = Math.max(highest, 1e-3) / 3.2;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

const shortened = (value) => (value >= 10 ? value.toFixed(0) : String(Number(value.toFixed(2))));
const sum = (items, of) => items.reduce((all, item) => all + of(item), 0);
const at = (bucket) => new Date(bucket.from).toLocaleTimeString("en-GB");

/** A line without axes, for a tile. */
export function spark(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const points = values.map((value, index) => {
    const x = (index / Math.max(1, values.length - 1)) * 60 + 1;
    const y = high === low ? 8 : 15 - ((value - low) / (high - low)) * 14;
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  return svg("svg", { viewBox: "0 0 62 16", "aria-hidden": "true" }, svg("polyline", { class: "spark", points: points.join(" ") }));
}
