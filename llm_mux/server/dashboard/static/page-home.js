// Home: what to do next, from nothing to a working tool, and how things stand. Rule: a step is done when the daemon says
// so, not because somebody clicked.

import { get } from "./api.js";
import { addAccount } from "./add-account.js";
import { fill, h, icon, prose } from "./dom.js";
import { count, duration, money, relative, short, some } from "./format.js";
import { button, code, copyButton, field, head, note, select, tag, tiles } from "./ui.js";

/** @param {import("./app.js").View} view */
export async function page(view) {
  const load = async () => {
    const known = await all(view.signal);
    draw(view, known, load);
  };
  await load();
  view.ready();
}

async function all(signal) {
  const [accounts, models, keys, recent, usage, version, tools, settings] = await Promise.all([
    get("/accounts", {}, signal), get("/models", {}, signal), get("/api-keys", {}, signal), get("/requests", { limit: 50 }, signal),
    get("/usage", { days: 1, group_by: "day" }, signal).catch(() => ({ total: null })), get("/version", {}, signal), snippets(signal), get("/config", {}, signal),
  ]);
  return { accounts: accounts.accounts, models: models.models, keys: keys.keys, recent: recent.requests, usage: usage.total, version, tools, config: settings.config };
}

function draw(view, known, load) {
  const ready = known.accounts.filter((account) => account.enabled);
  const done = ready.length > 0 && known.recent.length > 0;
  view.show(
    head(done ? "Home" : "Welcome to llm-mux", done ? "How things stand today." : "Every coding tool on one side, every model account on the other. Three steps."),
    trouble(known.accounts),
    done && figures(known, ready),
    done && latest(known),
    h("section.card", null, done && h("h2", null, "Set up"), h("ol.steps", null, account(known, ready, load), tool(known), first(known))));
}

function trouble(accounts) {
  const those = (state) => accounts.filter((account) => account.enabled && account.state === state).map((account) => account.name);
  const [lost, resting] = [those("login needed"), those("resting")];
  return [
    lost.length > 0 && note("bad", h("span", null, `${lost.join(", ")} ${lost.length === 1 ? "needs" : "need"} a new login.`), h("a", { href: "#/accounts" }, "Accounts")),
    resting.length > 0 && note("warn", h("span", null, `${resting.join(", ")} ${resting.length === 1 ? "rests" : "rest"} for a while, or for one model.`), h("a", { href: "#/accounts" }, "See why")),
  ];
}

function figures(known, ready) {
  const { usage } = known;
  const last = known.recent.at(-1);
  return tiles([
    ["Cost today", money(usage?.cost ?? 0), "UTC"],
    ["Requests today", short(usage?.requests ?? 0), usage?.failures ? `${count(usage.failures)} failed` : "none failed"],
    ["Tokens today", short(usage?.total_tokens ?? 0), usage ? `${short(usage.output_tokens)} written` : ""],
    ["Accounts", count(ready.length), `${count(known.models.length)} models`],
    ["Last request", last ? relative(last.timestamp) : "–", last?.served ?? last?.model],
  ]);
}

/** The newest requests, each the way into it. */
function latest(known) {
  return h("section.card", null, h("div.spread", null, h("h2", null, "Last requests"), h("a", { href: "#/live" }, "Live traffic")),
    h("ul.lines", null, known.recent.slice(-5).reverse().map((line) => h("li", null,
      tag(String(line.status), line.status < 400 ? "good" : line.status === 499 ? "warn" : "bad"),
      h("span.break", null, h("a", { href: `#/inspector/${encodeURIComponent(line.request)}` }, line.model || "no model"), line.account && h("span.muted", null, ` by ${line.provider}/${line.account}`)),
      h("span.num.nowrap", null, duration(line.duration_ms)), h("span.muted.nowrap", null, relative(line.timestamp))))));
}

const step = (number, done, title, ...content) => h("li", { class: done ? "done" : "" }, h("span.mark", { "aria-hidden": "true" }, done ? icon("check") : number), h("div.stack", null, h("h3", null, title, done && h("span.unseen", null, " (done)")), content));

function account(known, ready, load) {
  const add = (provider) => async () => {
    if (await addAccount(provider)) await load();
  };
  const done = ready.length > 0;
  return step(1, done, done ? `${some(ready.length, "account")} with ${some(known.models.length, "model")}` : "Add an account",
    h("p.muted", null, done ? h("span.tags", null, ready.slice(0, 12).map((each) => tag(each.name))) : prose("An API key or a login, kept in the secret store of this machine. Or start the daemon with the demo: `llm-mux serve --demo` needs no key.")),
    h("div.actions", null,
      done ? [button("", [icon("plus"), "Add another"], add()), h("a.button.quiet", { href: "#/accounts" }, "All accounts")]
        : [button(".primary", [icon("plus"), "Add an account"], add()), button("", "Anthropic", add("anthropic")), button("", "OpenAI", add("openai")), button("", "Gemini", add("gemini"))]));
}

/** What `llm-mux connect` does for every tool, with marks for address, key and model. */
const snippets = async (signal) => (await (await fetch(new URL("./tools.json", import.meta.url), { signal })).json()).tools;

function tool(known) {
  const place = h("div.stack");
  const state = { tool: known.tools[0].name, model: "" };
  const show = () => fill(place, snippet(known.tools.find((each) => each.name === state.tool), state.model, needsKey(known)));
  const set = (name) => ({ onchange: (event) => { state[name] = event.target.value; show(); } });
  show();
  return step(2, known.recent.some((line) => line.client !== "dashboard"), "Connect a tool",
    h("p.muted", null, "One command shows the change, asks, keeps a copy and writes it. ", h("code", null, "--undo"), " takes it back."),
    h("div.fields", null,
      field("Tool", select(set("tool"), known.tools.map((each) => [each.name, each.title]), state.tool)),
      field("Model", select(set("model"), [["", "the tool's own choice"], ...known.models.map((each) => /** @type {[string, string]} */ ([each.name, each.name]))]))),
    place,
    needsKey(known) && note("", h("span", null, "This daemon asks clients for a key; ", h("code", null, "connect"), " takes it with ", h("code", null, "--key"), "."), h("a", { href: "#/keys" }, "Make one")));
}

const needsKey = ({ config, keys }) => config["disable-auth"] === false || (config["disable-auth"] === null && keys.length > 0);

function snippet(tool, model, keyed) {
  const of = filled(model, keyed);
  const one = tool[model ? "model" : "plain"];
  const how = `${tool.name}${model ? ` --model ${quoted(model)}` : ""}`;
  const parts = [code(`llm-mux connect ${how}`, `Command that connects ${tool.title}`, true)];
  if (tool.runs) parts.push(h("p.muted.small", null, "Or for one run, changing nothing:"), code(`llm-mux run ${how}`, "Command for one run", true));
  const byHand = one.files.flatMap(({ file, text }) => [h("p.small", null, "In ", h("code.break", null, file), ":"), code(of(text), file, true)]);
  const env = Object.entries(one.env).map(([name, value]) => `export ${name}=${quoted(of(value))}`);
  if (env.length) byHand.push(h("p.small", null, byHand.length ? "Or in the environment:" : "In the environment:"), code(env.join("\n"), "Environment", true));
  if (one.words) byHand.push(code(of(one.words), `How ${tool.title} is connected`, true));
  parts.push(h("details.more", { open: !one.files.length }, h("summary", null, "By hand"), h("div.stack", null, byHand)));
  return parts;
}

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Puts in what was not known when the snippets were written. */
function filled(model, keyed) {
  const inside = location.port ? `:${location.port}` : "";
  return (text) => text.replaceAll("http://127.0.0.1:8317", location.origin).replaceAll("host.docker.internal:8317", `host.docker.internal${inside}`)
    .replaceAll("LLM-MUX-KEY", keyed ? "YOUR-KEY" : "llm-mux").replaceAll("MODEL-NAME", model);
}

function first(known) {
  const last = known.recent.at(-1);
  const origin = location.origin;
  return step(3, Boolean(last), last ? `Requests arrive; the last one ${relative(last.timestamp)}` : "See it work",
    h("p.muted", null, last ? "Watch them as they happen, or look into one." : "Send the first request; it appears in the live traffic at once."),
    h("div.actions", null, h("a.button", { class: last ? "" : "primary", href: "#/playground" }, "Playground"), h("a.button", { href: "#/live" }, "Live traffic")),
    h("dl.facts", null,
      [["OpenAI", `${origin}/v1`], ["Anthropic", origin], ["Gemini", origin], ["Ollama", origin]].map(([name, url]) => h("div", null, h("dt", null, name), h("dd", null, h("span.actions", null, h("code.break", null, url), copyButton(url)))))));
}
