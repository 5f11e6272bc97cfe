// Client keys: who may use this daemon, for what and how much. Rule: a key is shown once, when it is made, and is never
// in the page again.

import { get, put, remove } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { day, money } from "./format.js";
import { button, check, code, confirm, dialog, empty, field, form, head, note, select, table, tag, toast } from "./ui.js";

const LIMITS = { "requests-per-minute": "Requests a minute", "requests-per-hour": "Requests an hour", "tokens-per-minute": "Tokens a minute", concurrent: "At the same time" };
const GRACES = /** @type {[string, string][]} */ ([["0", "at once"], ["3600", "in an hour"], ["86400", "in a day"], ["604800", "in a week"]]);

/** @param {import("./app.js").View} view */
export async function page(view) {
  const list = h("div.card.flush");
  const open = h("div");
  let all = false;
  const load = async () => {
    const [{ keys }, settings] = await Promise.all([get("/api-keys", { all }, view.signal), get("/config", {}, view.signal)]);
    const auth = settings.config["disable-auth"];
    fill(open, auth === false || (auth === null && keys.length) ? null : note("", h("span", null, "Any key, or none, is taken from this machine now. ", h("code", null, "disable-auth: false"), " in the configuration asks for one of these."), h("a", { href: "#/config" }, "Configuration")));
    if (!keys.length) fill(list, empty("No key yet", "Keys tell tools and people apart, and hold each to its models and its budget.", button(".primary", [icon("plus"), "Make a key"], make)));
    else fill(list, table({ label: "Client keys", rows: keys, columns: columns(load) }));
  };
  const make = async () => {
    const made = await wish();
    if (made) {
      await once(made, `The key of ${made.name}`);
      await load();
    }
  };
  view.show(
    head("Client keys", "What tools and people identify themselves with. They are hashed; nobody can read one again.", button(".primary", [icon("plus"), "Make a key"], make)),
    open, h("div.spread", null, check("Revoked and expired ones too", { onchange: (event) => { all = event.target.checked; load(); } })), list);
  await load();
  view.ready();
}

/** @returns {import("./ui.js").Column[]} */
function columns(load) {
  const mine = (key) => key.source === "database" && key.state === "active";
  return [
    { label: "Name", kind: "lead", sort: (key) => key.name, show: (key) => [h("span.break", null, key.name), key.hint && h("span.sub.mono.nowrap", null, key.hint)] },
    { label: "State", sort: (key) => key.state, show: (key) => tag(key.state, key.state === "active" ? "good" : "") },
    { label: "User", sort: (key) => key.user, show: (key) => key.user },
    { label: "May", kind: "wide", show: (key) => may(key) },
    { label: "Made", sort: (key) => key.created, show: (key) => key.created ? h("span.nowrap", null, day(key.created)) : "configuration" },
    { label: "Ends", sort: (key) => key.expires, show: (key) => key.expires && h("span.nowrap", null, day(key.expires)) },
    { label: "Do", kind: "acts", show: (key) => mine(key) && [
      button(".tiny", "Change", () => change(key, load), { "aria-label": `Change ${key.name}` }),
      button(".tiny", "New secret", () => rotate(key, load), { "aria-label": `New secret for ${key.name}` }),
      button(".tiny.danger", "Revoke", () => revoke(key, load), { "aria-label": `Revoke ${key.name}` })] },
  ];
}

function may(key) {
  const scopes = key.scopes ?? {};
  const budget = (name, period) => scopes[`${name}-budget`] && `${money(scopes[`${name}-budget`])} a ${period}${key.spent ? `, ${money(key.spent[period])} spent` : ""}`;
  const found = [
    ...["models", "providers", "accounts"].filter((name) => scopes[name]?.length).map((name) => `${name}: ${scopes[name].join(", ")}`),
    ...Object.entries(scopes.limits ?? {}).map(([name, limit]) => `${(LIMITS[name] ?? name).toLowerCase()}: ${limit}`),
    budget("daily", "day"), budget("monthly", "month"),
  ].filter(Boolean);
  return found.length ? h("span.tags", null, found.map((each) => tag(each))) : h("span.muted", null, "everything");
}

/** The form of a key. @param {any} [known] one that is there */
function wish(known) {
  const scopes = known?.scopes ?? {};
  const text = (name, label, hint, props = {}) => field(label, h("input", { name, autocomplete: "off", ...props }), hint);
  return dialog(known ? `Change ${known.name}` : "Make a key", (close) => form({
    yes: known ? "Save" : "Make the key", close,
    children: [
      h("div.fields", null,
        text("name", "Name", "Such as laptop, ci, open-webui.", { required: true, maxlength: 200, value: known?.name, readonly: Boolean(known) }),
        !known && text("user", "User", "Whose balance it spends. May be empty.", { maxlength: 200 }),
        text("expires", "Ends after", "Empty: never.", { type: "date", value: known?.expires?.slice(0, 10) })),
      h("h3", null, "What it reaches"),
      h("div.fields", null, ["models", "providers", "accounts"].map((name) => text(name, name[0].toUpperCase() + name.slice(1), name === "models" ? "Wildcards, with commas: claude-*, gpt-5. Empty: all." : "Empty: all.", { value: scopes[name]?.join(", ") }))),
      h("h3", null, "How much"),
      h("div.fields", null,
        Object.entries(LIMITS).map(([name, label]) => text(name, label, null, { type: "number", min: 1, step: 1, value: scopes.limits?.[name] })),
        ["daily", "monthly"].map((name) => text(`${name}-budget`, `${name === "daily" ? "Daily" : "Monthly"} budget, $`, null, { type: "number", min: 0, step: "any", value: scopes[`${name}-budget`] }))),
    ],
    send: (data) => put("/api-keys", written(data)),
  }));
}

function written(data) {
  const list = (name) => String(data.get(name)).split(",").map((each) => each.trim()).filter(Boolean);
  const number = (name) => (data.get(name) ? Number(data.get(name)) : undefined);
  const limits = Object.fromEntries(Object.keys(LIMITS).map((name) => [name, number(name)]).filter(([, value]) => value !== undefined));
  const scopes = { models: list("models"), providers: list("providers"), accounts: list("accounts"), limits };
  for (const name of ["daily-budget", "monthly-budget"]) if (data.get(name)) scopes[name] = String(data.get(name));
  const user = String(data.get("user") ?? "").trim();
  const ends = data.get("expires") ? Date.parse(`${data.get("expires")}T23:59:59Z`) / 1000 : null;
  return { name: String(data.get("name")).trim(), scopes, expires: ends, ...(user ? { user } : {}) };
}

/** A secret, for this once. */
const once = (key, title) => dialog(title, (close) => [
  note("warn", "Copy it now. It is not shown again, and nobody can find it out."),
  code(key.key, "The new key", true),
  h("div.actions", null, button(".primary", "I have it", () => close())),
]);

async function change(key, load) {
  if (!(await wish(key))) return;
  toast(`${key.name} is changed; it counts from the next second on.`);
  await load();
}

async function rotate(key, load) {
  const made = await dialog(`A new secret for ${key.name}`, (close) => form({
    yes: "Make it", close,
    children: field("The former one ends", select({ name: "grace" }, GRACES, "86400"), "Until then both work, so that nothing stands still while you put the new one in."),
    send: (data) => put("/api-keys", { name: key.id, rotate: true, grace: Number(data.get("grace")) }),
  }));
  if (!made) return;
  await once(made, `The new key of ${key.name}`);
  await load();
}

async function revoke(key, load) {
  if (!(await confirm(`Revoke ${key.name}?`, "Whoever uses it is refused from the next second on. It cannot be taken back.", "Revoke"))) return;
  toast((await remove("/api-keys", { key: key.id })).message);
  await load();
}
