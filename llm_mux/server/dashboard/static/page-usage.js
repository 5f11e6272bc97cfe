// Usage and cost: what the books add up to, over time and by what. Rule: every figure comes from the books; the page only
// arranges them, and what it draws is also in its table and its CSV, which the daemon writes.

import { get, getFile } from "./api.js";
import { COLOURS, legend, stacked, swatch } from "./chart.js";
import { fill, h, icon } from "./dom.js";
import { count, duration, money, percent, short } from "./format.js";
import { button, download, empty, field, head, meter, note, segmented, select, table, tiles } from "./ui.js";

const RANGES = [["1", "Today"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "Year"], ["own", "Dates"]];
const GROUPS = [["model", "Model"], ["account", "Account"], ["provider", "Provider"], ["client_key", "Key"], ["user", "User"], ["protocol", "Protocol"]];
const MEASURES = {
  cost: { words: "Cost", of: (line) => Number(line.cost ?? 0), show: money },
  tokens: { words: "Tokens", of: (line) => line.total_tokens, show: short },
  requests: { words: "Requests", of: (line) => line.requests, show: short },
};
const OTHERS = "all others";

/** What was chosen last, for as long as the page is open. */
const chosen = { range: "30", group: "model", measure: "cost", from: "", to: "" };

/** @param {import("./app.js").View} view */
export async function page(view) {
  const body = h("div.stack");
  const own = h("div.filters", { hidden: chosen.range !== "own" });
  const load = async () => {
    delete view.main.dataset.ready;
    body.setAttribute("aria-busy", "true");
    try {
      fill(body, drawn(await asked(view.signal), redraw));
    } catch (error) {
      if (!view.signal.aborted) fill(body, note("bad", error.message, button("", "Try again", load)));
    }
    body.removeAttribute("aria-busy");
    view.ready();
  };
  const redraw = (measure) => {
    chosen.measure = measure;
    load();
  };
  const date = (name, words) => field(words, h("input", { type: "date", value: chosen[name], onchange: (event) => { chosen[name] = event.target.value; if (chosen.from && chosen.to) load(); } }));
  fill(own, date("from", "From"), date("to", "To"));
  const range = (value) => {
    chosen.range = value;
    own.hidden = value !== "own";
    if (value !== "own" || (chosen.from && chosen.to)) load();
  };
  const group = select({ onchange: (event) => { chosen.group = event.target.value; load(); } }, /** @type {[string, string][]} */ (GROUPS), chosen.group);
  view.show(
    head("Usage and cost", "From the books of this daemon. Days are UTC; cost is what the price book says at the time."),
    h("div.filters.spread", null, segmented("Range", /** @type {[string, string][]} */ (RANGES), chosen.range, range), field("By", group)),
    own, body);
  await load();
}

function span() {
  return chosen.range === "own" ? { from: chosen.from, to: chosen.to } : { days: chosen.range };
}

/** Groups, and how the largest of them lie over time. */
async function asked(signal) {
  const within = span();
  const [groups, days] = await Promise.all([
    get("/usage", { ...within, group_by: chosen.group }, signal),
    get("/usage", { ...within, group_by: few(within) ? "hour" : "day", then_by: chosen.group }, signal),
  ]);
  return { groups, days, hourly: few(within) };
}

const few = ({ days, from, to }) => (days ? days === "1" : from === to);

/** @returns {import("./dom.js").Child[]} */
function drawn({ groups, days, hourly }, redraw) {
  if (!groups.data.length) {
    return [h("div.card", null, empty("Nothing in the books for these days", "Send a request, or choose other days.", h("a.button", { href: "#/playground" }, "Playground")))];
  }
  const measure = MEASURES[chosen.measure];
  const ranked = [...groups.data].sort((a, b) => measure.of(b) - measure.of(a));
  const bars = series(days, ranked, measure, hourly);
  return [
    totals(groups.total),
    h("section.card", null,
      h("div.spread", null, h("h2", null, `${measure.words} by ${hourly ? "hour" : "day"} and ${words(chosen.group)}`),
        segmented("Measure", Object.entries(MEASURES).map(([name, each]) => [name, each.words]), chosen.measure, redraw)),
      bars.places.length ? stacked(bars) : null, legend(bars.series.map((each) => each.name))),
    h("section.card.flush", null,
      h("div.spread", null, h("h2", null, `By ${words(chosen.group)}`), button(".tiny", [icon("download"), "CSV"], csv)),
      list(ranked, groups.total, measure)),
  ];
}

const words = (group) => (GROUPS.find(([name]) => name === group)?.[1] ?? group).toLowerCase();
const named = (line) => line.name || `no ${words(chosen.group)}`;

function totals(total) {
  return tiles([
    ["Cost", money(total.cost), total.unpriced ? `${count(total.unpriced)} without a price` : "every request priced"],
    ["Requests", short(total.requests), total.failures ? `${count(total.failures)} failed (${percent(total.failures / total.requests)})` : "none failed"],
    ["Tokens", short(total.total_tokens), `${short(total.input_tokens + total.cache_read_tokens + total.cache_write_tokens)} in, ${short(total.output_tokens)} out`],
    ["From cache", percent(cached(total)), "of the prompts"],
    ["First token", duration(total.ttft_ms), `whole answer ${duration(total.duration_ms)}`],
  ]);
}

function cached(line) {
  const prompt = line.input_tokens + line.cache_read_tokens + line.cache_write_tokens;
  return prompt ? line.cache_read_tokens / prompt : null;
}

function series(days, ranked, measure, hourly) {
  const places = hourly ? hours(days) : dates(days.from, days.to);
  const at = new Map(places.map((place, number) => [place, number]));
  const top = ranked.slice(0, COLOURS - 1).map((line) => line.name);
  const found = new Map(top.map((name) => [name, places.map(() => 0)]));
  const rest = places.map(() => 0);
  for (const line of days.data) {
    const place = at.get(line.name);
    if (place !== undefined) (found.get(line.then) ?? rest)[place] += measure.of(line);
  }
  const all = [...found].map(([name, values]) => ({ name: name || `no ${words(chosen.group)}`, values }));
  if (ranked.length >= COLOURS) all.push({ name: OTHERS, values: rest });
  return { label: `${measure.words} over time`, places, place: hourly ? hour : date, series: all, value: measure.show };
}

/** Every day from one to another, also those without anything. */
function dates(from, to) {
  const found = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += 86400000) found.push(new Date(at).toISOString().slice(0, 10));
  return found;
}

function hours(days) {
  const named = days.data.map((line) => line.name).sort();
  const like = named[0] ?? "";
  return Array.from({ length: 24 }, (_, at) => `${days.from}${like.slice(10, 11) || "T"}${String(at).padStart(2, "0")}${like.slice(13)}`);
}

const date = (place, long) => new Date(`${place}T12:00:00Z`).toLocaleDateString("en-GB", long ? { weekday: "short", day: "numeric", month: "short" } : { day: "numeric", month: "short" });
const hour = (place) => `${place.slice(11, 13)}:00`;

function list(ranked, total, measure) {
  const whole = measure.of(total) || 1;
  return table({
    label: `Usage by ${words(chosen.group)}`, rows: ranked, columns: [
      { label: words(chosen.group).replace(/^./, (first) => first.toUpperCase()), kind: "lead", sort: named, show: (line) => h("span.of-colour", null, ranked.indexOf(line) < COLOURS - 1 && swatch(ranked.indexOf(line)), h("span.break", null, named(line))) },
      { label: "Share", kind: "wide", sort: measure.of, show: (line) => meter(measure.of(line) / whole, `${percent(measure.of(line) / whole)} of the ${measure.words.toLowerCase()}`, false) },
      { label: "Cost", kind: "right", sort: (line) => Number(line.cost ?? -1), show: (line) => money(line.cost) },
      { label: "Requests", kind: "right", sort: (line) => line.requests, show: (line) => count(line.requests) },
      { label: "Failed", kind: "right", sort: (line) => line.failures, show: (line) => count(line.failures) },
      { label: "Tokens in", kind: "right", sort: (line) => line.input_tokens, show: (line) => short(line.input_tokens + line.cache_read_tokens + line.cache_write_tokens) },
      { label: "Tokens out", kind: "right", sort: (line) => line.output_tokens, show: (line) => short(line.output_tokens) },
      { label: "From cache", kind: "right", sort: cached, show: (line) => percent(cached(line)) },
      { label: "First token", kind: "right", sort: (line) => line.ttft_ms, show: (line) => duration(line.ttft_ms) },
    ],
  });
}

async function csv() {
  const { name, text } = await getFile("/usage", { ...span(), group_by: chosen.group, format: "csv" });
  download(name, text, "text/csv");
}
