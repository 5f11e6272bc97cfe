// Stacked bars over time, drawn as SVG in the page's own colours. Rule: the same figures are in reach of the keyboard
// (arrows walk the bars, what is said changes with them) and colours are never the only sign.

import { fill, h, s } from "./dom.js";

const WIDTH = 900;
const HEIGHT = 260;
const LEFT = 56;
const BOTTOM = 24;
const TOP = 10;
export const COLOURS = 8;

/**
 * @typedef {object} Bars
 * @property {string} label what the chart shows
 * @property {string[]} places the bars, in order
 * @property {(place: string, long?: boolean) => string} place how one reads
 * @property {{name: string, values: number[]}[]} series bottom first
 * @property {(value: number) => string} value how a value reads
 */

/** A round step so that at most `most` of them reach `top`. @param {number} top @param {number} most */
export function step(top, most) {
  const rough = top / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 2.5, 5, 10].find((each) => each * power >= rough) ?? 10) * power;
}

/** @param {number} at */
const colour = (at) => `var(--c${Math.min(at, COLOURS - 1) + 1})`;

/** The names of the series with their colours. @param {string[]} names */
export const legend = (names) => h("ul.legend", null, names.map((name, at) => h("li", null, swatch(at), h("span", null, name))));

/** @param {number} at */
export const swatch = (at) => h("span.swatch", { style: { background: colour(at) } });

/** @param {Bars} bars */
export function stacked(bars) {
  const { places, series } = bars;
  const narrow = matchMedia("(max-width: 40rem)").matches;
  const width = narrow ? 420 : WIDTH;
  const totals = places.map((_, at) => series.reduce((sum, each) => sum + each.values[at], 0));
  const unit = step(Math.max(...totals, 0), 4);
  const top = Math.max(unit, Math.ceil(Math.max(...totals, 0) / unit) * unit);
  const room = (width - LEFT) / places.length;
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const tip = h("div.tip", { hidden: true });
  const said = h("p.unseen", { "aria-live": "polite" });
  const hits = places.map((_, at) => s("rect.hit", { x: LEFT + at * room, y: TOP, width: room, height: HEIGHT - TOP - BOTTOM }));
  const drawing = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", tabindex: "0", "aria-label": `${bars.label}. ${places.length} bars; the arrow keys walk them.` },
    lines(top, unit, y, width, bars.value), names(bars, room, narrow), places.map((_, at) => bar(series, at, room, y)), hits);
  const holder = h("div.chart", null, drawing, tip, said);
  walk(holder, drawing, hits, (at) => show(bars, totals, at, { tip, said, x: (LEFT + (at + 0.5) * room) / width }));
  return holder;
}

function lines(top, unit, y, width, value) {
  const found = [];
  for (let at = 0; at <= top + unit / 2; at += unit) {
    found.push(s("line.grid", { x1: LEFT, x2: width, y1: y(at), y2: y(at) }), s("text", { x: LEFT - 8, y: y(at) + 4, "text-anchor": "end" }, value(at)));
  }
  return found;
}

function names(bars, room, narrow) {
  const every = Math.max(1, Math.ceil((narrow ? 64 : 70) / room));
  return bars.places.map((place, at) => (at % every ? null : s("text", { x: LEFT + (at + 0.5) * room, y: HEIGHT - 6, "text-anchor": "middle" }, bars.place(place))));
}

function bar(series, at, room, y) {
  const width = Math.max(1.5, Math.min(room * 0.72, 46));
  const x = LEFT + at * room + (room - width) / 2;
  let base = 0;
  return series.map((each, number) => {
    const value = each.values[at];
    if (!(value > 0)) return null;
    const upper = y(base + value);
    const height = Math.max(0.75, y(base) - upper);
    base += value;
    return s("rect", { x, y: upper, width, height, rx: height > 4 ? 1.5 : 0, style: { fill: colour(number) } });
  });
}

/** Pointer and arrow keys choose a bar. */
function walk(holder, drawing, hits, choose) {
  let at = -1;
  const go = (to) => {
    hits[at]?.classList.remove("on");
    at = to;
    hits[at]?.classList.add("on");
    choose(at);
  };
  hits.forEach((hit, number) => hit.addEventListener("pointerenter", () => go(number)));
  holder.addEventListener("pointerleave", () => go(-1));
  drawing.addEventListener("blur", () => go(-1));
  drawing.addEventListener("keydown", (event) => {
    const to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? hits.length - 1 : at - 1, Home: 0, End: hits.length - 1, Escape: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(Math.max(-1, Math.min(hits.length - 1, to)));
  });
}

function show(bars, totals, at, { tip, said, x }) {
  tip.hidden = at < 0;
  if (at < 0) return;
  const parts = bars.series.map((each, number) => ({ ...each, number, value: each.values[at] })).filter((each) => each.value > 0).reverse();
  const title = bars.place(bars.places[at], true);
  fill(tip, h("strong", null, title), h("ul", null,
    parts.map((each) => h("li", null, swatch(each.number), h("span.break", null, each.name), h("span.num", null, bars.value(each.value)))),
    h("li", null, h("span"), h("span", null, "All"), h("strong.num", null, bars.value(totals[at])))));
  tip.style.top = "0.4rem";
  tip.style.left = x < 0.5 ? `${x * 100 + 4}%` : "auto";
  tip.style.right = x < 0.5 ? "auto" : `${(1 - x) * 100 + 4}%`;
  said.textContent = `${title}: ${bars.value(totals[at])}. ${parts.map((each) => `${each.name} ${bars.value(each.value)}`).join(", ")}`;
}
