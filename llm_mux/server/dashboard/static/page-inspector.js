// Inspector: one exchange, with what the client sent, what went to the provider, what came back and what the client got.
// Rule: bodies are shown as text, cut where the daemon cut them, and only while capture is on.

import { get, put } from "./api.js";
import { fill, h } from "./dom.js";
import { clock, count, duration, money, moment, pretty, some, speed } from "./format.js";
import { button, code, copyButton, empty, facts, head, note, segmented, table, tag, toast } from "./ui.js";

/** @param {import("./app.js").View} view */
export async function page(view) {
  if (view.rest) await exchange(view, view.rest);
  else await recent(view);
  view.ready();
}

async function recent(view) {
  const known = await get("/requests", { limit: 500 }, view.signal);
  const rows = known.requests.reverse();
  view.show(
    head("Inspector", "Choose an exchange to see what was said on both sides of llm-mux."),
    switched(known.capturing, () => recent(view)),
    h("div.card.flush", null, rows.length ? table({ label: "Exchanges, newest first", rows, columns: COLUMNS, onrow: (line) => { location.hash = address(line); } })
      : empty("No exchange yet", "The newest ones are remembered here.", h("a.button.primary", { href: "#/playground" }, "Send one"))));
}

const address = (line) => `#/inspector/${encodeURIComponent(line.request)}`;

/** @type {import("./ui.js").Column[]} */
const COLUMNS = [
  { label: "Exchange", kind: "lead", show: (line) => [h("a.break", { href: address(line) }, line.model || "no model"), h("span.sub.mono.break", null, line.request)] },
  { label: "Time", show: (line) => h("span.num.nowrap", null, clock(line.timestamp)) },
  { label: "Status", show: (line) => tag(String(line.status), line.status < 400 ? "good" : "bad") },
  { label: "Protocol", show: (line) => line.protocol },
  { label: "Served by", show: (line) => line.provider && h("span.break", null, `${line.provider}/${line.account}`) },
  { label: "Way", show: (line) => line.path },
  { label: "Took", kind: "right", show: (line) => duration(line.duration_ms) },
];

/** Whether bodies are kept, and how to change that. */
function switched(on, again) {
  const set = (value) => async () => {
    await put("/capture", { value });
    toast(value ? "From the next exchange on, bodies are kept in memory." : "Bodies are no longer kept.");
    await again();
  };
  if (on) return note("good", h("span", null, h("strong", null, "Capture is on."), " The newest exchanges keep what was said, in memory only, without what looks like a secret."), button(".tiny", "Switch it off", set(false)));
  return note("", h("span", null, h("strong", null, "Capture is off,"), " so exchanges are listed without what was said. Switch it on until the daemon ends, or write ", h("code", null, "capture: true"), " in the configuration."), button(".tiny", "Switch it on", set(true)));
}

async function exchange(view, id) {
  const found = await get(`/requests/${encodeURIComponent(id)}`, {}, view.signal);
  const line = found.lines.at(-1);
  const parts = [h("div", null, h("a", { href: "#/inspector" }, "All exchanges")),
    head(line?.model || "An exchange", h("span.mono.break", null, id), copyButton(id, "Copy the id"))];
  if (line) parts.push(h("section.card.two", null, told(line)));
  if (found.captured) parts.push(...sides(found.captured, line?.attempts > 0));
  else parts.push(switched((await get("/requests", { limit: 1 }, view.signal)).capturing, () => exchange(view, id)), h("div.card", null, empty("Nothing was captured of this exchange", "What was said is kept for exchanges that begin while capture is on.")));
  view.show(...parts);
}

function told(line) {
  return facts([
    ["Status", h("span.actions", null, tag(String(line.status), line.status < 400 ? "good" : "bad"), line.error && h("span", null, line.error.replaceAll("_", " ")))],
    ["When", moment(line.timestamp)],
    ["Served by", line.provider && `${line.provider}/${line.account}, ${line.served}`],
    ["Client", line.client], ["Protocol", line.protocol],
    ["Way", line.path && `${line.path} (${line.path === "splice" ? "the bytes went through as they were" : "through the canonical form"})`],
    ["Attempts", line.failed?.length ? h("div", null, line.attempts, h("ul", null, line.failed.map((each) => h("li.break", null, each)))) : line.attempts],
    ["Dropped", line.dropped?.length ? line.dropped.join(", ") : null],
    ["First token", line.ttft_ms !== null && duration(line.ttft_ms)], ["Took", duration(line.duration_ms)],
    ["Tokens", `${count(line.input_tokens)} in, ${count(line.output_tokens)} out${speed(line) ? `, ${count(Math.round(speed(line)))} a second` : ""}`],
    ["Cost", line.cost_usd !== null && money(line.cost_usd)], ["Ended with", line.stop],
  ]);
}

/** Client's side, and each attempt's. */
function sides(captured, asked) {
  const attempts = captured.upstream ?? [];
  const pane = h("div.stack");
  const show = (at) => fill(pane, pairs(captured, attempts[at], asked));
  show(Math.max(0, attempts.length - 1));
  const choice = attempts.length > 1 && segmented("Attempt", attempts.map((each, at) => [String(at), `Attempt ${at + 1}: ${each.account}`]), String(attempts.length - 1), (value) => show(Number(value)));
  const more = captured.skipped > 0 && note("", `${some(captured.skipped, "further attempt")} of it ${captured.skipped === 1 ? "is" : "are"} not kept.`);
  return [choice, more, pane].filter(Boolean);
}

function pairs(captured, attempt, asked) {
  return [
    h("div.sides", null,
      side("What the client sent", null, captured.headers, captured.request, captured.request_bytes),
      attempt ? side("What went to the provider", `${attempt.method} ${attempt.url}`, attempt.headers, attempt.request, attempt.request_bytes) : nowhere("What went to the provider", asked)),
    h("div.sides", null,
      attempt ? side("What came back", attempt.status && `status ${attempt.status}`, attempt.answer_headers, attempt.answer, attempt.answer_bytes, attempt.error) : nowhere("What came back", asked),
      side("What the client got", `status ${captured.status}`, captured.answer_headers, captured.answer, captured.answer_bytes)),
  ];
}

const nowhere = (title, asked) => h("section.card", null, h("h2", null, title), empty(asked ? "Not kept" : "Nothing", asked ? "Only the newest exchanges keep it." : "No provider was asked."));

function side(title, about, headers, body, bytes, error) {
  const text = pretty(body ?? "");
  const cut = bytes > new TextEncoder().encode(body ?? "").length;
  const names = Object.entries(headers ?? {});
  return h("section.card", { "aria-label": title },
    h("div.spread", null, h("h2", null, title), copyButton(body ?? "")),
    about && h("p.small.muted.break", null, about),
    error && note("bad", error),
    names.length > 0 && h("details.more", null, h("summary", null, `${names.length} headers`), code(names.map(([name, value]) => `${name}: ${value}`).join("\n"), `Headers: ${title}`, true)),
    h("pre.wire", { tabindex: "0", role: "region", "aria-label": `Text: ${title}` }, text),
    h("p.small.muted", null, `${count(bytes)} bytes${cut ? "; the rest is not kept" : ""}`));
}
