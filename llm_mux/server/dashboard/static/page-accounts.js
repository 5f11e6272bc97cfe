// Accounts: how each is, what it may still use, and all that can be done with one. Rule: what an account did is asked
// again after every change; nothing is assumed to have worked.

import { get, patch, post, remove } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { moment, percent, relative, some, span } from "./format.js";
import { addAccount } from "./add-account.js";
import { button, confirm, dialog, empty, field, form, head, meter, note, tag, toast } from "./ui.js";

const LOOK_MS = 5000;

const STATES = {
  ready: ["ready", "good"], resting: ["resting", "warn"], "login needed": ["needs a new login", "bad"], disabled: ["switched off", ""],
};

/** @param {import("./app.js").View} view */
export async function page(view) {
  const list = h("div.stack");
  const load = async () => {
    const [accounts, rests] = await Promise.all([get("/accounts", {}, view.signal), get("/cooldowns", {}, view.signal)]);
    // Whoever is in the middle of something there is not disturbed.
    if (!list.querySelector("[aria-busy=true]")) draw(list, accounts.accounts, rests.cooldowns, load, add);
  };
  const add = async () => {
    if (await addAccount()) await load();
  };
  view.show(head("Accounts", "Every credential that requests can be sent with, and how it is.", button(".primary", [icon("plus"), "Add an account"], add)), list);
  await load();
  view.ready();
  view.every(load, LOOK_MS);
  if (view.query.has("add")) {
    history.replaceState(null, "", "#/accounts");
    add();
  }
}

function draw(list, accounts, rests, load, add) {
  const focus = document.activeElement instanceof HTMLElement && list.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  if (!accounts.length) {
    fill(list, h("div.card", null, empty("No account yet", "Add an API key or log in at a provider; then every tool can use it.", button(".primary", [icon("plus"), "Add an account"], add))));
    return;
  }
  const providers = Map.groupBy(accounts, (account) => account.provider);
  fill(list, hosts(rests, accounts, load), [...providers].map(([provider, mine]) => h("section.card", { "aria-label": provider },
    h("div.spread", null, h("h2", null, provider), h("span.muted.small", null, some(mine.length, "account"))),
    mine.map((account) => one(account, rests.filter((rest) => rest.account === account.name), load)))));
  if (focus) /** @type {HTMLElement | null} */ (list.querySelector(`[data-act="${CSS.escape(focus)}"]`))?.focus();
}

/** Rests that are about a whole provider. */
function hosts(rests, accounts, load) {
  const names = new Set(accounts.map((account) => account.name));
  return rests.filter((rest) => !names.has(rest.account)).map((rest) => note("warn", h("span", null, h("strong", null, rest.account), ` as a whole: ${why(rest)}`), clear(rest, load)));
}

const why = (rest) => [words(rest.reason ?? rest.state), rest.model && `for ${rest.model}`, rest.seconds_left ? `for ${span(rest.seconds_left)} more` : rest.seconds_left === null ? "until something changes" : "tried with the next request"].filter(Boolean).join(", ");
const words = (text) => String(text).replaceAll("_", " ");
const clear = (rest, load) => button(".tiny", "End it now", async () => {
  await remove("/cooldowns", { account: rest.account, model: rest.model });
  toast(`${rest.account} is asked again.`);
  await load();
}, { data: { act: `clear ${rest.account} ${rest.model}` } });

function one(account, rests, load) {
  const [said, kind] = STATES[account.state] ?? [words(account.state), "warn"];
  return h("div.account", { data: { account: account.name } },
    h("div.spread", null,
      h("div.actions", null, h("h3.break", null, account.label), tag(said, kind), account.plan && tag(account.plan, "info"),
        h("span.muted.small", null, origin(account))),
      actions(account, load)),
    rests.map((rest) => note("warn", h("span", null, why(rest)), clear(rest, load))),
    account.last_error && h("p.small.muted.break", null, `Last said: ${account.last_error}`),
    account.quotas.length > 0 && h("div.quotas", null, account.quotas.map(quota)));
}

function origin(account) {
  const parts = [{ "stored key": "API key", login: "login", settings: "from the configuration or environment" }[account.origin] ?? account.origin];
  if (account.expires) parts.push(`token renews ${relative(account.expires)}`);
  if (account.inflight) parts.push(`${account.inflight} running`);
  if (account.priority) parts.push(`priority ${account.priority}`);
  if (account.weight !== 1) parts.push(`weight ${account.weight}`);
  return parts.join(" · ");
}

function quota(window) {
  const name = window.scope === "account" ? window.name : `${window.name}, ${window.scope}`;
  const used = window.used === null ? "told, but not how much" : `${percent(window.used)} used`;
  return h("div.quota", null,
    h("div.spread.small", null, h("span", null, words(name)), h("span.num", null, used)),
    meter(window.used, `${words(name)}: ${used}`),
    window.resets_at && h("p.small.muted", { title: moment(window.resets_at) }, `begins anew ${relative(window.resets_at)}, ${moment(window.resets_at)}`));
}

const path = (account) => `/accounts/${encodeURIComponent(account.provider)}/${encodeURIComponent(account.label)}`;

function actions(account, load) {
  const act = (name) => ({ data: { act: `${name} ${account.name}` }, "aria-label": `${name} ${account.name}` });
  const stored = account.origin !== "settings";
  return h("div.actions", null,
    account.state === "login needed" && button(".tiny.primary", "Log in again", async () => {
      if (await addAccount(account.provider)) await load();
    }, act("Log in again at")),
    account.enabled && button(".tiny", "Test", () => test(account, load), act("Test")),
    button(".tiny", account.enabled ? "Switch off" : "Switch on", async () => {
      await patch(path(account), { enabled: !account.enabled });
      toast(account.enabled ? `${account.name} is not used any more.` : `${account.name} is in use.`);
      await load();
    }, act(account.enabled ? "Switch off" : "Switch on")),
    stored && button(".tiny", "Rename", () => rename(account, load), act("Rename")),
    stored && button(".tiny.danger", "Delete", () => forget(account, load), act("Delete")));
}

async function test(account, load) {
  const found = await post(`${path(account)}/test`);
  toast(found.ok ? `${account.name}: ${found.message} It has ${some(found.models, "model")}.` : `${account.name}: ${found.message}`, found.ok ? "" : "bad");
  await load();
}

async function rename(account, load) {
  const done = await dialog(`Rename ${account.name}`, (close) => form({
    yes: "Rename", close,
    children: field("Name", h("input", { name: "label", value: account.label, required: true, maxlength: 100, autocomplete: "off" }), "Clients can ask for it: provider@name://model."),
    send: (data) => patch(path(account), { label: String(data.get("label")).trim() }),
  }));
  if (!done) return;
  toast(`It is ${done.name} now.`);
  await load();
}

async function forget(account, load) {
  const told = account.origin === "login" ? " The provider is told that the login is over." : " The key itself stays valid at the provider until you revoke it there.";
  if (!(await confirm(`Delete ${account.name}?`, `Its credential is removed from this machine.${told}`, "Delete"))) return;
  toast((await remove(path(account))).message);
  await load();
}
