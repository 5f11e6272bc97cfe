// The log: the newest records, filtered, followed. Rule: records are text; nothing of them is taken for more.

import { follow, get, put, remove } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { clock, moment } from "./format.js";
import { button, check, confirm, download, empty, facts, field, head, note, segmented, select, tag, toast } from "./ui.js";

const MOST = 1000;
const KINDS = /** @type {const} */ ({ debug: "", info: "", warning: "warn", error: "bad", critical: "bad" });
const FIRST = ["timestamp", "level", "event", "seq"];

/** @param {import("./app.js").View} view */
export async function page(view) {
  const log = new Log(view);
  view.show(...log.parts());
  const debug = await get("/debug", {}, view.signal).catch(() => ({ value: false }));
  if (debug.value) /** @type {HTMLInputElement} */ (log.debug.querySelector("input")).checked = true;
  await log.load();
  view.ready();
}

class Log {
  /** @param {import("./app.js").View} view */
  constructor(view) {
    this.view = view;
    this.level = view.query.get("level") ?? "info";
    this.text = (view.query.get("text") ?? "").toLowerCase();
    this.source = "memory";
    this.following = true;
    this.last = 0;
    /** Ends the following of what was chosen before. */
    this.former = new AbortController();
    /** @type {any[]} */
    this.records = [];
    this.list = h("div.card.flush.log");
    this.said = h("p.muted.small", { role: "status" });
    this.lost = h("div", { role: "status" });
    this.debug = check("Debug records", { onchange: (event) => this.switched(event.target) });
  }

  parts() {
    const search = h("input", { type: "search", placeholder: "Any word of a record", value: this.text, oninput: (event) => { this.text = event.target.value.toLowerCase(); this.draw(); } });
    const level = select({ onchange: (event) => { this.level = event.target.value; this.load(); } }, [["debug", "everything"], ["info", "info and above"], ["warning", "warnings and errors"], ["error", "errors only"]], this.level);
    return [
      head("Logs", "What the daemon says. Secrets are never in it.",
        button("", [icon("download"), "Download"], () => download("llm-mux.log.jsonl", this.wanted().map((each) => JSON.stringify(each)).join("\n"), "application/jsonl")),
        button(".danger", "Empty the log", () => this.clear())),
      h("div.filters", null, field("Filter", search, null, "grow"), field("Level", level),
        segmented("Where from", [["memory", "Newest"], ["file", "Files"]], this.source, (value) => { this.source = value; this.load(); })),
      h("div.spread", null, this.said, h("div.actions", null, this.debug, check("Follow", { checked: true, onchange: (event) => { this.following = event.target.checked; this.follow(); } }))),
      this.lost, this.list,
    ];
  }

  async load() {
    try {
      const found = await get("/logs", { level: this.level, limit: MOST, source: this.source }, this.view.signal);
      this.records = found.records;
      this.last = found.last;
      this.draw();
      this.follow();
    } catch (error) {
      if (!this.view.signal.aborted) fill(this.list, note("bad", error.message, button("", "Try again", () => this.load())));
    }
  }

  /** Goes on from the last record that is known, with what is chosen now. */
  follow() {
    this.former.abort();
    if (!this.following || this.source !== "memory") return;
    this.former = new AbortController();
    const signal = AbortSignal.any([this.view.signal, this.former.signal]);
    follow("/logs/live", {
      query: () => ({ level: this.level, after: this.last }), signal, heard: (found) => this.more(found),
      opened: () => fill(this.lost), lost: () => fill(this.lost, note("warn", "The connection is gone; trying again.")),
    }).catch((error) => {
      if (!signal.aborted) fill(this.lost, note("bad", error.message));
    });
  }

  more(found) {
    // Smaller than what is known: the daemon was started again.
    if (found.last < this.last) this.records = [];
    this.records = [...this.records, ...found.records].slice(-MOST);
    this.draw(found.last < this.last ? -1 : found.records.length);
    this.last = found.last;
  }

  wanted() {
    return this.text ? this.records.filter((each) => JSON.stringify(each).toLowerCase().includes(this.text)) : this.records;
  }

  draw(added = -1) {
    const wanted = this.wanted();
    this.said.textContent = `${wanted.length} of ${this.records.length} records, newest first`;
    if (!wanted.length) fill(this.list, empty(this.records.length ? "Nothing fits the filter" : "Nothing of this level yet"));
    else if (added < 0 || !this.list.querySelector("details")) fill(this.list, [...wanted].reverse().map(record));
    else {
      const fresh = this.records.slice(-added);
      this.list.prepend(...wanted.filter((each) => fresh.includes(each)).reverse().map(record));
      while (this.list.children.length > wanted.length) this.list.lastElementChild?.remove();
    }
  }

  async switched(input) {
    try {
      await put("/debug", { value: input.checked });
      toast(input.checked ? "Debug records are logged until you switch them off." : "Debug records are no longer logged.");
      if (input.checked && this.level !== "debug") {
        this.level = "debug";
        /** @type {HTMLSelectElement} */ (this.view.main.querySelector("select")).value = "debug";
        await this.load();
      }
    } catch (error) {
      input.checked = !input.checked;
      toast(error.message, "bad");
    }
  }

  async clear() {
    if (!(await confirm("Empty the log?", "Its records are gone for good, in memory and in the files.", "Empty it"))) return;
    toast((await remove("/logs")).message);
    await this.load();
  }
}

function record(each) {
  const rest = Object.entries(each).filter(([name]) => !FIRST.includes(name));
  const line = rest.filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length)).map(([name, value]) => ` ${name}=${said(value)}`).join("");
  const made = h("details", null, h("summary", null,
    h("span.num.muted", { title: moment(each.timestamp) }, clock(each.timestamp)), h("span", null, tag(each.level ?? "?", KINDS[each.level] ?? "")),
    h("span.said", null, each.event ?? "", h("em", null, line))));
  made.addEventListener("toggle", () => {
    if (made.open && made.children.length === 1) made.append(detail(each, rest));
  });
  return made;
}

function detail(each, rest) {
  return h("div", null, facts([["timestamp", each.timestamp], ...rest.map(([name, value]) => /** @type {[string, any]} */ ([name, name === "request" ? h("a", { href: `#/inspector/${encodeURIComponent(value)}` }, value) : said(value)]))]));
}

const said = (value) => (typeof value === "string" ? value : JSON.stringify(value));
