// Balances: what users have, what became of it, and money given or taken. Rule: amounts are the daemon's exact text; the
// page rounds nothing and adds nothing up.

import { get, post } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { count, moment, some } from "./format.js";
import { button, dialog, empty, field, form, head, note, table, tag, tiles, toast } from "./ui.js";

const PAGE = 50;

/** @param {import("./app.js").View} view */
export async function page(view) {
  await (view.rest ? statement(view, view.rest) : users(view));
  view.ready();
}

async function users(view) {
  const state = { like: "", offset: 0 };
  const told = h("div.stack");
  const list = h("div.card.flush");
  const more = h("div.spread");
  const load = async () => {
    const found = await get("/billing/balances", { like: state.like, limit: PAGE, offset: state.offset }, view.signal);
    fill(told, !found.enabled && note("", h("span", null, "Balances are kept but not looked at: requests are not refused for lack of money. ", h("code", null, "billing: {enabled: true}"), " in the configuration changes that."), h("a", { href: "#/config" }, "Configuration")));
    fill(list, found.users.length ? table({ label: "Users", rows: found.users, columns: columns(load), onrow: (row) => { location.hash = address(row.user); } })
      : state.like ? empty("Nobody of that name") : empty("Nobody has a balance yet", `A user appears with the first request or the first credit${Number(found.initial) ? ` and begins with $${found.initial}` : ""}.`, button(".primary", [icon("plus"), "Give credit"], () => give(null, load))));
    fill(more, pages(state, found.total, found.users.length, "user", load));
  };
  const search = h("input", { type: "search", placeholder: "Any part of a name", oninput: (event) => { Object.assign(state, { like: event.target.value, offset: 0 }); load().catch((error) => toast(error.message, "bad")); } });
  view.show(
    head("Balances", "What users of client keys have left. Every request of theirs is paid for from it.", button(".primary", [icon("plus"), "Give credit"], () => give(null, load))),
    told, h("div.filters", null, field("Search", search, null, "grow")), list, more);
  await load();
}

const address = (user) => `#/billing/${encodeURIComponent(user)}`;
const dollars = (amount) => (amount.startsWith("-") ? `−$${amount.slice(1)}` : `$${amount}`);
const amount = (text, plus = "") => h("span.num.nowrap", { class: text.startsWith("-") ? "negative" : "" }, text.startsWith("-") ? dollars(text) : plus + dollars(text));

/** @returns {import("./ui.js").Column[]} */
const columns = (load) => [
  { label: "User", kind: "lead", sort: (row) => row.user, show: (row) => h("a.break", { href: address(row.user) }, row.user) },
  { label: "State", show: (row) => (Number(row.balance) > 0 ? tag("may spend", "good") : tag("used up", "bad")) },
  { label: "Balance", kind: "right", sort: (row) => Number(row.balance), show: (row) => amount(row.balance) },
  { label: "Do", kind: "acts", show: (row) => button(".tiny", "Give credit", () => give(row.user, load), { "aria-label": `Give credit to ${row.user}` }) },
];

async function statement(view, user) {
  const state = { offset: 0 };
  const body = h("div.stack");
  const load = async () => {
    const found = await get("/billing", { user, limit: PAGE, offset: state.offset }, view.signal);
    fill(body,
      tiles([["Balance", amount(found.balance), "US dollars"], ["Transactions", count(found.total), state.offset ? `from ${count(state.offset + 1)} on` : "newest first"]]),
      h("div.card.flush", null, found.transactions.length ? table({ label: "Transactions, newest first", rows: found.transactions, columns: CHANGES }) : empty("Nothing has changed it yet")),
      h("div.spread", null, pages(state, found.total, found.transactions.length, "transaction", load)));
  };
  view.show(h("div", null, h("a", { href: "#/billing" }, "All balances")),
    head(user, "What was given and what was spent.", h("a.button", { href: "#/usage" }, "Usage"), button(".primary", [icon("plus"), "Give credit"], () => give(user, load))), body);
  await load();
}

/** @type {import("./ui.js").Column[]} */
const CHANGES = [
  { label: "What", kind: "lead", show: (row) => [h("span.break", null, row.description || "no description"), h("span.sub.mono", null, row.id)] },
  { label: "When", show: (row) => h("span.nowrap", null, moment(row.timestamp)) },
  { label: "Amount", kind: "right", show: (row) => amount(row.amount, "+") },
  { label: "Balance after", kind: "right", show: (row) => amount(row.balance_after) },
];

/** Which of them one sees, and the way to the others. */
function pages(state, total, shown, word, load) {
  const go = (to) => async () => {
    state.offset = Math.max(0, to);
    await load();
  };
  if (total <= PAGE && !state.offset) return total ? h("p.muted.small", { role: "status" }, some(total, word)) : null;
  return [h("p.muted.small", { role: "status" }, `${count(state.offset + 1)} to ${count(state.offset + shown)} of ${some(total, word)}`),
    h("div.actions", null, button("", "Back", go(state.offset - PAGE), { disabled: !state.offset }), button("", "Further", go(state.offset + PAGE), { disabled: state.offset + shown >= total }))];
}

/** Gives money to a user, or takes it. @param {string | null} user @param {() => any} load */
async function give(user, load) {
  const { keys } = await get("/api-keys");
  const known = [...new Set(keys.map((key) => key.user).filter(Boolean))];
  const made = await dialog(user ? `Credit for ${user}` : "Give credit", (close) => form({
    yes: "Give it", close,
    children: [
      h("datalist", { id: "users" }, known.map((each) => h("option", { value: each }))),
      user ? h("input", { type: "hidden", name: "user", value: user }) : field("User", h("input", { name: "user", required: true, maxlength: 200, list: "users", autocomplete: "off", autofocus: true }), "As client keys name them, or the name of a key without a user."),
      field("US dollars", h("input", { name: "amount", required: true, inputmode: "decimal", pattern: "-?[0-9]{1,6}(\\.[0-9]{1,12})?", placeholder: "10.00", autocomplete: "off", title: "An amount such as 10 or 2.50; a negative one takes money" }), "A negative amount takes money away."),
      field("What for", h("input", { name: "description", maxlength: 200, autocomplete: "off", placeholder: "credit" })),
    ],
    send: (data) => post("/billing/credit", { user: String(data.get("user")).trim(), amount: String(data.get("amount")).trim(), description: String(data.get("description")).trim() || "credit" }),
  }));
  if (!made) return;
  toast(`${made.user} has ${dollars(made.balance_after)} now.`);
  await load();
}
