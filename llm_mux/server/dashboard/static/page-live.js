// Live traffic: requests as they begin, answer and end. Rule: what arrives is drawn in batches and only so much is kept,
// so that a busy daemon costs the reader's machine no more than a quiet one.

import { follow, get } from "./api.js";
import { arrange, fill, h, icon } from "./dom.js";
import { clock, count, duration, money, percent, short, some, speed } from "./format.js";
import { button, cells, empty, field, head, note, segmented, tag, tiles } from "./ui.js";

const MOST = 200;
const WINDOW_MS = 5 * 60 * 1000;
const DRAW_MS = 250;

/** @param {import("./app.js").View} view */
export async function page(view) {
  const traffic = new Traffic();
  const shown = new Shown(traffic);
  view.show(...shown.parts());
  const catchUp = async () => {
    traffic.caughtUp(await get("/requests", { limit: MOST, after: traffic.last || undefined }, view.signal));
    shown.connected(true);
    shown.draw();
  };
  await catchUp();
  view.ready();
  let due = 0;
  const soon = () => {
    due ||= window.setTimeout(() => {
      due = 0;
      if (!view.signal.aborted) shown.draw();
    }, DRAW_MS);
  };
  view.every(() => shown.figures(), 2000);
  shown.onchange = soon;
  const heard = (happened) => {
    happened.forEach((each) => traffic.take(each));
    soon();
  };
  // Not waited for: it goes on until the page is left.
  follow("/requests/live", { signal: view.signal, opened: catchUp, lost: () => shown.connected(false), heard }).catch((error) => {
    if (!view.signal.aborted) fill(shown.state, note("bad", error.message));
  });
}

/** What is known of the traffic, newest first. */
class Traffic {
  constructor() {
    /** @type {Map<string, any>} */
    this.running = new Map();
    /** @type {any[]} */
    this.lines = [];
    this.known = new Set();
    this.last = 0;
    this.fresh = new Set();
    /** Requests that run since before anybody looked: only their number is known. */
    this.earlier = 0;
    this.since = 0;
  }

  /** What ended meanwhile, and how many run that began before. A daemon that was started again counts from 1 again. */
  caughtUp({ requests, last, active }) {
    if (last < this.last) {
      this.lines = [];
      this.known.clear();
      this.last = 0;
    }
    this.running.clear();
    requests.forEach((line) => this.ended(line));
    this.earlier = active;
    this.since = Date.now();
  }

  take({ event, ...data }) {
    if (event === "begun") {
      if (Date.parse(data.timestamp) < this.since) this.earlier = Math.max(0, this.earlier - 1);
      this.running.set(data.request, data);
    }
    else if (event === "first") Object.assign(this.running.get(data.request) ?? {}, data);
    else if (event === "failed") this.missed(data);
    else if (event === "over") this.running.delete(data.request);
    else if (!this.known.has(data.seq)) {
      if (!this.running.has(data.request) && Date.parse(data.timestamp) - data.duration_ms < this.since) this.earlier = Math.max(0, this.earlier - 1);
      this.ended(data);
      this.fresh.add(data.seq);
    }
  }

  get active() {
    return this.running.size + this.earlier;
  }

  /** A target that could not answer; another one is asked. */
  missed({ request, account, served, error, seconds }) {
    const line = this.running.get(request);
    if (line) Object.assign(line, { failed: [...(line.failed ?? []), `${account} ${served} ${error} ${seconds}s`], attempts: (line.failed?.length ?? 0) + 2 });
  }

  ended(line) {
    this.running.delete(line.request);
    if (this.known.has(line.seq)) return;
    this.known.add(line.seq);
    this.last = Math.max(this.last, line.seq);
    this.lines.unshift({ ...line, ms: Date.parse(line.timestamp) });
    while (this.lines.length > 1000) this.known.delete(this.lines.pop().seq);
  }

  /** The lines of the last minutes. */
  lately() {
    const since = Date.now() - WINDOW_MS;
    return this.lines.filter((line) => line.ms > since);
  }
}

const failed = (line) => line.status >= 400 || line.error;

/** @type {import("./ui.js").Column[]} */
const COLUMNS = [
  { label: "Model", kind: "lead", show: (line) => [h("span.break", null, line.model || "no model"), line.served && line.served !== line.model && h("span.sub.break", null, `served as ${line.served}`)] },
  { label: "Time", show: (line) => [h("span.nowrap.num", null, clock(line.timestamp)), line.client && h("span.sub.break", null, line.client)] },
  { label: "Status", show: (line) => status(line) },
  { label: "Served by", show: (line) => line.account && [h("span.break", null, line.account.startsWith(`${line.provider}/`) ? line.account : [line.provider, line.account].filter(Boolean).join("/")), h("span.sub", null, line.protocol)] },
  { label: "Attempts", show: (line) => retries(line) },
  { label: "First token", kind: "right", show: (line) => line.ttft_ms !== null && line.ttft_ms !== undefined && duration(line.ttft_ms) },
  { label: "Took", kind: "right", show: (line) => line.duration_ms !== undefined && duration(line.duration_ms) },
  { label: "Tokens in / out", kind: "right", show: (line) => line.input_tokens !== undefined && [`${short(line.input_tokens)} / ${short(line.output_tokens)}`, speed(line) && h("span.sub", null, `${count(Math.round(speed(line)))} tok/s`)] },
  { label: "Cost", kind: "right", show: (line) => line.cost_usd !== null && line.cost_usd !== undefined && money(line.cost_usd) },
];

function status(line) {
  if (line.status === undefined) return tag(line.ttft_ms === undefined ? "waiting" : "answering", "info");
  if (!failed(line)) return tag(String(line.status), "good");
  return [tag(String(line.status), line.status === 499 ? "warn" : "bad"), line.error && h("span.sub.break", null, line.error.replaceAll("_", " "))];
}

function retries(line) {
  if (!line.failed?.length) return line.attempts ? h("span.muted", null, "1") : null;
  return h("details", null, h("summary", null, tag(some(line.attempts, "attempt"), "warn")), h("ul.small", null, line.failed.map((each) => h("li.break", null, each))));
}

/** The page itself. */
class Shown {
  constructor(traffic) {
    this.traffic = traffic;
    this.only = "all";
    this.text = "";
    this.paused = false;
    this.onchange = () => {};
    this.state = h("div", { role: "status" });
    this.numbers = h("div");
    this.body = h("tbody");
    this.rows = h("div.card.flush");
    /** @type {Map<string, HTMLElement>} */
    this.made = new Map();
  }

  parts() {
    const search = h("input", { type: "search", placeholder: "Model, account, client or request id", oninput: (event) => { this.text = event.target.value.toLowerCase(); this.redraw(); } });
    this.pause = button("", [icon("pause"), "Pause"], () => this.hold());
    return [
      head("Live traffic", "Requests as they happen, newest first. Choose one to look into it.", this.pause),
      this.state,
      this.numbers,
      h("div.filters", null, field("Filter", search, null, "grow"), segmented("Which", [["all", "All"], ["failed", "Failed"], ["retried", "Retried"]], "all", (value) => { this.only = value; this.redraw(); })),
      this.rows,
    ];
  }

  hold() {
    this.paused = !this.paused;
    fill(this.pause, icon(this.paused ? "play" : "pause"), this.paused ? "Go on" : "Pause");
    if (!this.paused) this.draw();
  }

  connected(open) {
    fill(this.state, open ? null : note("warn", "The connection is gone; trying again. What ends meanwhile is in the list once it is back."));
  }

  redraw() {
    this.made.clear();
    this.onchange();
  }

  wanted(line) {
    if (this.only === "failed" && !failed(line)) return false;
    if (this.only === "retried" && !(line.attempts > 1)) return false;
    if (!this.text) return true;
    return [line.model, line.served, line.account, line.provider, line.client, line.request, line.protocol].some((each) => each && String(each).toLowerCase().includes(this.text));
  }

  figures() {
    const { traffic } = this;
    const lately = traffic.lately();
    const good = lately.filter((line) => !failed(line));
    const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? null;
    const speeds = lately.map(speed).filter((each) => each !== null);
    const first = lately.map((line) => line.ttft_ms).filter((each) => each !== null);
    const minute = lately.filter((line) => line.ms > Date.now() - 60000).length;
    fill(this.numbers, tiles([
      ["Running now", count(traffic.active), traffic.active ? "being answered" : "nothing just now"],
      ["Last minute", count(minute), minute === 1 ? "request" : "requests"],
      ["First token", duration(median(first)), "median of 5 minutes"],
      ["Speed", speeds.length ? `${count(Math.round(median(speeds)))} tok/s` : "–", "median of 5 minutes"],
      ["Answered", lately.length ? percent(good.length / lately.length) : "–", `of ${some(lately.length, "request")} in 5 minutes`],
    ]));
  }

  draw() {
    this.figures();
    if (this.paused) return;
    const running = [...this.traffic.running.values()].reverse();
    const lines = [...running, ...this.traffic.lines].filter((line) => this.wanted(line)).slice(0, MOST);
    if (!lines.length) {
      fill(this.rows, this.nothing());
      return;
    }
    if (!this.body.isConnected) {
      fill(this.rows, h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Requests" },
        h("table.rows", null, h("caption.unseen", null, "Requests, newest first"), h("thead", null, h("tr", null, COLUMNS.map((each) => h("th", { scope: "col", class: each.kind === "right" ? "right" : "" }, each.label)))), this.body)));
    }
    const kept = new Map();
    arrange(this.body, lines.map((line) => {
      const key = line.seq === undefined ? `${line.request} ${line.ttft_ms} ${line.attempts}` : String(line.seq);
      const row = this.made.get(key) ?? this.row(line);
      kept.set(key, row);
      return row;
    }));
    this.made = kept;
    this.traffic.fresh.clear();
  }

  row(line) {
    const over = line.seq !== undefined;
    const kind = !over ? "running" : this.traffic.fresh.has(line.seq) ? "live-row fresh clickable" : "live-row clickable";
    const made = h("tr", { class: kind, onclick: (event) => over && !event.target.closest("details, a") && look(line) });
    made.append(...cells(COLUMNS, line));
    if (over) fill(made.firstElementChild, h("a.break", { href: address(line) }, line.model || "no model"), line.served && line.served !== line.model && h("span.sub.break", null, `served as ${line.served}`));
    return made;
  }

  nothing() {
    if (this.traffic.lines.length) return empty("Nothing fits the filter");
    return empty("No request yet", "They appear here the moment a tool sends one.", h("a.button.primary", { href: "#/playground" }, "Send one yourself"), h("a.button", { href: "#/" }, "Connect a tool"));
  }
}

const address = (line) => `#/inspector/${encodeURIComponent(line.request)}`;

function look(line) {
  location.hash = address(line);
}
