// Models: every name that clients can use, what is behind it, what it can do and costs, and who has it.

import { get } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { money, short } from "./format.js";
import { button, copyButton, dialog, empty, facts, field, head, note, select, table, tag, toast } from "./ui.js";

/** @param {import("./app.js").View} view */
export async function page(view) {
  const state = { text: view.query.get("q") ?? "", provider: view.query.get("provider") ?? "", can: "" };
  /** @type {any} */
  let found = { models: [], errors: {} };
  const body = h("div.card.flush");
  const problems = h("div.stack");
  const total = h("p.muted.small", { role: "status" });
  const choices = h("div.filters");
  const draw = () => list(body, total, found.models, state);
  const load = async (refresh) => {
    found = await get("/models", { refresh: refresh || undefined }, view.signal);
    fill(problems, Object.entries(found.errors).map(([name, said]) => note("warn", h("span", null, h("strong", null, name), `: ${said}`), h("a", { href: "#/accounts" }, "Accounts"))));
    fill(choices, ...filters(found.models, state, draw));
    draw();
  };
  view.show(
    head("Models", "Every name that a client can ask for. A prefix asks for one provider: provider://model.", button("", [icon("retry"), "Ask the providers again"], async () => {
      await load(true);
      toast("The lists are new.");
    })),
    problems, choices, total, body);
  await load(false);
  view.ready();
}

function filters(models, state, draw) {
  const providers = [...new Set(models.map((model) => model.provider))].sort();
  const words = [...new Set(models.flatMap((model) => model.capabilities ?? []))].sort();
  const set = (name) => ({ onchange: (event) => { state[name] = event.target.value; draw(); } });
  return [
    field("Search", h("input", { type: "search", value: state.text, placeholder: "Any part of a name", oninput: (event) => { state.text = event.target.value; draw(); } }), null, "grow"),
    field("Provider", select(set("provider"), [["", "all"], ...providers.map((each) => /** @type {[string, string]} */ ([each, each]))], state.provider)),
    words.length > 0 && field("Can", select(set("can"), [["", "anything"], ...words.map((each) => /** @type {[string, string]} */ ([each, plain(each)]))], state.can)),
  ];
}

const plain = (word) => word.replaceAll("_", " ");

function list(body, total, models, state) {
  const parts = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = models.filter((model) => (!state.provider || model.provider === state.provider)
    && (!state.can || model.capabilities?.includes(state.can))
    && parts.every((part) => `${model.name} ${model.model} ${model.provider}`.toLowerCase().includes(part)));
  total.textContent = `${rows.length} of ${models.length} names`;
  if (rows.length) fill(body, table({ label: "Models", rows, columns: COLUMNS, by: 0, onrow: look }));
  else if (models.length) fill(body, empty("Nothing fits"));
  else fill(body, empty("No model yet", "Models come with accounts.", h("a.button.primary", { href: "#/accounts?add" }, "Add an account")));
}

/** @type {import("./ui.js").Column[]} */
const COLUMNS = [
  { label: "Name", kind: "lead", sort: (model) => model.name, show: (model) => [button(".link.break", model.name, () => look(model)), model.model !== model.name && h("span.sub.break", null, model.model)] },
  { label: "Provider", sort: (model) => model.provider, show: (model) => [model.provider, who(model)] },
  { label: "Can", kind: "wide", show: (model) => model.capabilities?.length > 0 && h("span.tags", null, model.capabilities.map((each) => tag(plain(each)))) },
  { label: "Context", kind: "right", sort: (model) => model.context_window, show: (model) => model.context_window && short(model.context_window) },
  { label: "Longest answer", kind: "right", sort: (model) => model.max_output_tokens, show: (model) => model.max_output_tokens && short(model.max_output_tokens) },
  { label: "$/M in", kind: "right", sort: (model) => price(model, "input"), show: (model) => million(model, "input") },
  { label: "$/M out", kind: "right", sort: (model) => price(model, "output"), show: (model) => million(model, "output") },
  { label: "Do", kind: "acts", show: (model) => h("a.button.tiny", { href: `#/playground?model=${encodeURIComponent(model.name)}`, "aria-label": `Try ${model.name}` }, "Try") },
];

const price = (model, what) => (model.price?.[what] === undefined || model.price?.[what] === null ? null : Number(model.price[what]));
const million = (model, what) => (price(model, what) === null ? null : money(price(model, what)));

function who(model) {
  if (!model.accounts) return null;
  const labels = model.accounts.map((name) => name.split("/").slice(1).join("/"));
  return h("span.sub.break", null, labels.length > 3 ? `${labels.length} accounts` : labels.join(", "));
}

function look(model) {
  return dialog(model.name, () => [
    facts([
      ["Provider", model.provider], ["Its own name", h("code", null, model.model)],
      ["Accounts", model.accounts?.join(", ")],
      ["Context", model.context_window && `${model.context_window.toLocaleString("en")} tokens`],
      ["Longest answer", model.max_output_tokens && `${model.max_output_tokens.toLocaleString("en")} tokens`],
      ["Can", model.capabilities?.length > 0 && h("span.tags", null, model.capabilities.map((each) => tag(plain(each))))],
      ["Price of a million", model.price && prices(model.price)],
      ["Name for clients", h("span.actions", null, h("code.break", null, model.name), copyButton(model.name))],
      ["This provider only", h("span.actions", null, h("code.break", null, `${model.provider}://${model.model}`), copyButton(`${model.provider}://${model.model}`))],
    ]),
    h("div.actions", null, h("a.button", { href: `#/routes?model=${encodeURIComponent(model.name)}`, onclick: leave }, "Where it goes"), h("a.button.primary", { href: `#/playground?model=${encodeURIComponent(model.name)}`, onclick: leave }, "Try it")),
  ]);
}

const prices = (price) => ["input", "output", "cache_read", "cache_write"].filter((what) => price[what] !== undefined && price[what] !== null).map((what) => `${money(price[what])} ${plain(what)}`).join(", ");
const leave = (event) => event.target.closest("dialog").close();
