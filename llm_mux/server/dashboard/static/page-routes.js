// Routes: where a name leads and why, other names for models, and what is asked when one cannot answer. Rule: the daemon
// judges every change before it counts, and edits are kept in the page until they are saved or given up.

import { get, put } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { duration, money, percent, relative, short, span } from "./format.js";
import { busy, button, empty, field, head, note, table, tag, toast } from "./ui.js";

/** Edits that are not saved yet; they outlast a visit to another page. @type {{aliases: [string, string][], fallbacks: [string, string][]} | null} */
let draft = null;

/** @param {import("./app.js").View} view */
export async function page(view) {
  const names = h("datalist", { id: "model-names" });
  const explained = h("div.stack", { "aria-live": "polite" });
  const editor = h("div.stack");
  view.show(head("Routes", "Which account gets a request, and what happens when it cannot answer."), names, explainer(view, explained), editor);
  const load = async () => {
    const known = await get("/aliases", {}, view.signal);
    draw(editor, known, load);
  };
  const models = get("/models", {}, view.signal).then((found) => fill(names, found.models.map((model) => h("option", { value: model.name }))));
  await Promise.all([load(), models.catch(() => {})]);
  if (view.query.get("model")) await explain(view, view.query.get("model") ?? "", "", explained);
  view.ready();
}

function explainer(view, place) {
  const model = h("input", { name: "model", list: "model-names", required: true, autocomplete: "off", spellcheck: "false", placeholder: "claude-sonnet-4-5, an alias, provider://model", value: view.query.get("model") });
  const conversation = h("input", { name: "conversation", autocomplete: "off", placeholder: "optional" });
  const ask = h("button.primary", { type: "submit" }, "Explain");
  return h("section.card", null, h("h2", null, "Where would a request go?"),
    h("form.filters", {
      onsubmit: (event) => {
        event.preventDefault();
        history.replaceState(null, "", `#/routes?model=${encodeURIComponent(model.value)}`);
        busy(ask, () => explain(view, model.value, conversation.value, place));
      },
    }, field("Model", model, null, "grow"), field("Conversation", conversation), ask), place);
}

async function explain(view, model, conversation, place) {
  try {
    const found = await get("/routes/explain", { model, conversation }, view.signal);
    fill(place, chain(found), found.targets.length ? targets(found) : empty("No account can take it"));
  } catch (error) {
    if (!view.signal.aborted) fill(place, note("bad", error.message));
  }
}

function chain(found) {
  return h("p", null, h("span.muted", null, `Strategy ${found.strategy}. `), found.chain.map((link, at) => [at ? h("span.muted", null, " then ") : "", h("strong.break", null, link.name), link.problem && h("span.muted", null, ` (${link.problem})`)]));
}

function targets(found) {
  return table({
    label: "Targets, in the order in which they would be asked", rows: found.targets, columns: [
      { label: "Order", show: (target) => target.order ? h("span.order", null, target.order) : tag("passed over", "warn") },
      { label: "Account", kind: "lead", show: (target) => h("span.break", null, `${target.provider}/${target.account}`) },
      { label: "Model", kind: "wide", show: (target) => h("span.break", null, target.model, target.name !== target.model && h("span.sub", null, `for ${target.name}`)) },
      { label: "Why", kind: "wide", show: (target) => [h("span", null, target.why), target.back_in_s !== undefined && h("span.sub", null, `back in ${span(target.back_in_s)}`), target.quotas?.map((quota) => h("span.sub", null, `${quota.name}: ${percent(quota.used)} used${quota.resets_at ? `, anew ${relative(quota.resets_at)}` : ""}`))] },
      { label: "Running", kind: "right", show: (target) => target.inflight },
      { label: "First content", kind: "right", show: (target) => target.first_content_s !== undefined && duration(target.first_content_s * 1000) },
      { label: "Context", kind: "right", show: (target) => target.context && short(target.context) },
      { label: "Price", kind: "right", show: (target) => target.price !== undefined && money(target.price) },
    ],
  });
}

// Editing

const rows = (known) => ({
  aliases: known.aliases.map((each) => /** @type {[string, string]} */ ([each.name, each.target])),
  fallbacks: Object.entries(known.fallbacks).map(([name, models]) => /** @type {[string, string]} */ ([name, models.join(", ")])),
});

function draw(place, known, load) {
  const state = draft ?? rows(known);
  const changed = () => {
    draft = state;
    bar.hidden = false;
  };
  const said = h("div");
  const save = button(".primary", "Save", () => store(state, said, load));
  const drop = button("", "Give the changes up", async () => {
    draft = null;
    await load();
  });
  const bar = h("div.actions", { hidden: draft === null }, save, drop, h("span.muted", null, "Not saved yet"));
  const leads = new Map(known.aliases.map((each) => [each.name, each.model ? `${each.provider}://${each.model}` : null]));
  fill(place, h("div.halves", null,
    list("aliases", state.aliases, changed, {
      title: "Other names for models", about: "A client asks for the name and gets the model. * is a wildcard.", left: "Name", right: "Model", add: "Add a name",
      hint: (name) => leads.has(name) && (leads.get(name) ?? "leads nowhere at present"),
    }),
    list("fallbacks", state.fallbacks, changed, {
      title: "When a model cannot answer", about: "These are asked in their order, before the client has seen anything.", left: "Model", right: "Then, in this order", add: "Add fallbacks", hint: () => null,
    })), said, bar);
}

/** A table of two columns that can be typed in. */
function list(kind, pairs, changed, words) {
  const body = h("div.stack");
  const redraw = () => fill(body, pairs.length ? pairs.map((pair, at) => row(kind, pairs, pair, at, words, changed, redraw)) : h("p.muted", null, "None yet."));
  redraw();
  return h("section.card", null, h("div.stack.tight", null, h("h2", null, words.title), h("p.muted.small", null, words.about)), body,
    h("div", null, button(".tiny", [icon("plus"), words.add], () => {
      pairs.push(["", ""]);
      changed();
      redraw();
      /** @type {HTMLElement | null} */ (body.querySelector(".pair:last-child input"))?.focus();
    })));
}

function row(kind, pairs, pair, at, words, changed, redraw) {
  const input = (side, label, several) => h("input", {
    value: pair[side], "aria-label": `${label} ${at + 1}`, list: several ? null : "model-names", autocomplete: "off", spellcheck: "false",
    data: { entry: `${kind}.${at}.${side}` },
    oninput: (event) => { pair[side] = event.target.value; changed(); },
  });
  const hint = words.hint(pair[0]);
  return h("div.pair", null, input(0, words.left, true), h("span.muted", { "aria-hidden": "true" }, "→"), input(1, words.right, kind === "fallbacks"),
    button(".quiet.icon-only", icon("close"), () => {
      pairs.splice(at, 1);
      changed();
      redraw();
    }, { "aria-label": `Remove ${pair[0] || "this line"}` }), hint && h("small.muted.break", null, hint));
}

async function store(state, said, load) {
  fill(said);
  const aliases = {};
  const fallbacks = {};
  try {
    for (const [name, target] of state.aliases) add(aliases, name, target.trim());
    for (const [name, models] of state.fallbacks) add(fallbacks, name, models.split(",").map((each) => each.trim()).filter(Boolean));
    await put("/routes", { aliases, fallbacks });
  } catch (error) {
    fill(said, note("bad", error.message));
    return;
  }
  draft = null;
  toast("Saved and in effect.");
  await load();
}

function add(into, name, value) {
  const key = name.trim();
  if (!key && !value.length) return;
  if (!key) throw new Error(`“${[value].flat().join(", ")}” has no name.`);
  if (!value.length) throw new Error(`“${key}” leads to nothing; fill it in or remove it.`);
  if (Object.hasOwn(into, key)) throw new Error(`“${key}” is there twice.`);
  into[key] = value;
}
