// Adding an account: choose a provider, then a key or a login that is gone through step by step in a dialog. Rule: what
// is typed goes to the daemon and nowhere else; a dialog that is left calls the login off.

import { get, post, remove } from "./api.js";
import { fill, h, prose } from "./dom.js";
import { some } from "./format.js";
import { button, check, copyButton, dialog, empty, field, form, note, toast } from "./ui.js";

const LOOK_MS = 1000;
const MOST_TEXT = 262144;
const KNOWN_FIRST = ["anthropic", "openai", "gemini", "codex", "copilot", "openrouter", "claude", "kimi", "xai", "deepseek"];

/** Resolves with the name of the new account, or null. @param {string} [wanted] a provider's name */
export async function addAccount(wanted) {
  const { providers } = await get("/providers");
  const chosen = providers.find((each) => each.name === wanted) ?? (await pick(providers));
  if (!chosen) return null;
  const made = await dialog(`Add an account at ${chosen.title}`, (close, box) => ways(chosen, close, box));
  if (made) toast(`${made} is in use.`);
  return made;
}

/** Which provider. */
function pick(providers) {
  const able = providers.filter((each) => each.takes_keys || each.logins.length);
  const rank = (each) => (KNOWN_FIRST.indexOf(each.name) + 1 || 99);
  able.sort((a, b) => rank(a) - rank(b) || a.title.localeCompare(b.title));
  return dialog("Add an account", (close) => {
    const list = h("ul.choices");
    const draw = (text) => {
      const found = able.filter((each) => `${each.name} ${each.title}`.toLowerCase().includes(text.toLowerCase()));
      fill(list, found.map((each) => h("li", null, button(".choice", [h("strong", null, each.title), h("span.muted.small", null, how(each))], () => close(each), { data: { provider: each.name } }))),
        !found.length && h("li", null, empty("No such provider", "Any server that speaks OpenAI's, Anthropic's or Gemini's API can be added in the configuration.")));
    };
    draw("");
    return [h("input", { type: "search", placeholder: "Search providers", "aria-label": "Search providers", autofocus: true, oninput: (event) => draw(event.target.value) }), list];
  });
}

function how(provider) {
  const ways = [provider.logins.length > 0 && "login", provider.takes_keys && "API key"].filter(Boolean).join(" or ");
  return [ways, provider.accounts ? some(provider.accounts, "account") : ""].filter(Boolean).join(" · ");
}

/** The ways of one provider: its key first, for that is what every vendor allows. */
function ways(provider, close, box) {
  const logins = provider.logins.filter((each, at, all) => all.findIndex((other) => other.way === each.way) === at);
  const parts = [];
  if (provider.takes_keys) parts.push(keyForm(provider, close));
  if (logins.length) parts.push(h("section.stack", null, parts.length > 0 ? h("h3", null, "Or log in") : h("p.muted", null, "What comes of a login is kept in the secret store of this machine."), [...Map.groupBy(logins, (login) => login.warning ?? "").values()].map((alike) => warned(provider, alike, close, box))));
  return parts;
}

function keyForm(provider, close) {
  return form({
    yes: "Add the key", close,
    children: [
      field("API key", h("input", { name: "key", type: "password", required: true, autocomplete: "off", spellcheck: "false", autofocus: true }),
        provider.key_url ? ["Made at ", h("a", { href: provider.key_url, target: "_blank", rel: "noopener noreferrer" }, provider.key_url.replace(/^https:\/\//, "")), "."] : "Kept in the secret store of this machine."),
      h("details.more", null, h("summary", null, "Name and place"), h("div.stack", null,
        field("Name", h("input", { name: "label", maxlength: 100, autocomplete: "off" }), "Left empty: a free one."),
        field("Base URL", h("input", { name: "base_url", type: "url", placeholder: provider.base_url, autocomplete: "off" }), "Only for another place than the provider's usual one."))),
      check("Ask the provider first whether it takes the key", { name: "check", checked: true }),
    ],
    send: async (data) => (await post("/accounts", {
      provider: provider.name, key: String(data.get("key")), label: String(data.get("label")).trim() || null,
      base_url: String(data.get("base_url")).trim() || null, check: data.get("check") === "on",
    })).name,
  });
}

/** Ways of one warning; it has to be read once for all of them. */
function warned(provider, logins, close, box) {
  const { warning } = logins[0];
  const said = h("div");
  const starting = logins.filter((login) => login.starts);
  const options = optional(starting);
  const begin = async (way, more) => {
    fill(said);
    try {
      follow(await post("/logins", { provider: provider.name, way, agree: Boolean(warning), ...more }), close, box);
    } catch (error) {
      fill(said, note("bad", error.message));
    }
  };
  const buttons = starting.map((login) => button("", prose(login.title || login.way), async () => begin(login.way, await options.given()), { disabled: Boolean(warning), data: { way: login.way } }));
  const imports = logins.filter((login) => login.imports).map((login) => importing(login, begin, buttons, Boolean(warning)));
  const agreed = warning && check("I have read this and want it all the same", { onchange: (event) => buttons.forEach((each) => { each.disabled = !event.target.checked; }) });
  return h("div.stack", null, warning && note("warn", warning), agreed, starting.length > 0 && h("div.actions.start", null, buttons.slice(0, starting.length)), starting.length > 0 && options.element, imports, said);
}

const WANTED = {
  project: ["Project", "The cloud project that the account belongs to and that pays."],
  location: ["Place", "Such as us-central1 or global. Left empty: the provider's usual one."],
};

/** What may be said before a login begins: its name, and what some ways want. */
function optional(logins) {
  const wants = new Set(logins.flatMap((login) => login.wants));
  const label = h("input", { maxlength: 100, autocomplete: "off" });
  const client = wants.has("client") ? textOrFile("OAuth client", "The JSON file of an OAuth client of your own, of the type Desktop app.") : null;
  const extra = [...wants].filter((name) => name !== "client").map((name) => /** @type {[string, HTMLInputElement]} */ ([name, h("input", { maxlength: 1000, autocomplete: "off", spellcheck: "false" })]));
  const element = h("details.more", null, h("summary", null, listed(["Name", ...extra.map(([name]) => (WANTED[name]?.[0] ?? name).toLowerCase()), ...(client ? ["OAuth client"] : [])])), h("div.stack", null,
    field("Name", label, "Left empty: the account's own."), extra.map(([name, input]) => field(WANTED[name]?.[0] ?? name, input, WANTED[name]?.[1])), client?.element));
  const given = async () => ({ label: label.value.trim() || null, extra: Object.fromEntries(extra.map(([name, input]) => [name, input.value.trim()]).filter(([, value]) => value)), ...(client?.text() ? { text: client.text() } : {}) });
  return { element, given };
}

/** "a, b and c". @param {string[]} words */
const listed = (words) => [words.slice(0, -1).join(", "), words.at(-1)].filter(Boolean).join(" and ");

/** A way that begins with what is there already. `buttons` are told of the one that begins it. */
function importing(login, begin, buttons, disabled) {
  const file = textOrFile("What to import", login.import_path ? prose(`It is usually in \`${login.import_path}\`.`) : null);
  const options = optional([login]);
  const go = button(".primary", "Import", async () => {
    if (!file.text()) throw new Error("There is nothing to import: paste it, or choose the file.");
    await begin(login.way, { ...(await options.given()), text: file.text() });
  }, { disabled, data: { imports: login.way } });
  buttons.push(go);
  const title = login.starts ? "Import one that is there already" : login.title || login.way;
  return h("details.more", null, h("summary", null, prose(title)), h("div.stack", null, file.element, options.element, h("div.actions", null, go)));
}

/** A text that is pasted or read from a file. @param {string} label @param {import("./dom.js").Child} hint */
function textOrFile(label, hint) {
  const area = h("textarea", { rows: 3, autocomplete: "off", spellcheck: "false", maxlength: MOST_TEXT });
  const chosen = h("input", {
    type: "file", "aria-label": `${label}: choose the file`,
    onchange: async () => {
      const [found] = chosen.files;
      if (!found) return;
      if (found.size > MOST_TEXT) toast("This file is too large to be it.", "bad");
      else area.value = await found.text();
    },
  });
  return { element: h("div.stack.tight", null, field(label, area, hint), chosen), text: () => area.value.trim() };
}

/** Goes through a login until it is over; the dialog shows nothing else from now on. */
function follow(login, close, box) {
  const body = h("div.stack");
  const content = box.querySelector(".dialog");
  fill(content, content.firstElementChild, body);
  let over = false;
  let shown = "";
  const draw = (now) => {
    over = ["done", "failed", "cancelled"].includes(now.state);
    if (now.state === "done") return close(now.account);
    const key = JSON.stringify([now.steps, now.wanted, now.state, now.error]);
    if (key !== shown) fill(body, progress(now, reply, close));
    shown = key;
  };
  const reply = async (said) => draw(await post(`/logins/${login.id}/reply`, said));
  const timer = setInterval(() => over || get(`/logins/${login.id}`).then(draw, (error) => fill(body, note("bad", error.message))), LOOK_MS);
  box.addEventListener("close", () => {
    clearInterval(timer);
    if (!over) remove(`/logins/${login.id}`).catch(() => {});
  });
  draw(login);
}

function progress(login, reply, close) {
  if (login.error || login.state === "failed" || login.state === "cancelled") {
    return [note("bad", `The login ended: ${login.error ?? login.state}`), h("div.actions", null, button("", "Close", () => close(null)))];
  }
  const parts = login.steps.map(step);
  if (login.wanted) parts.push(wanted(login.wanted, reply));
  else parts.push(h("p.muted", { role: "status" }, "Waiting for the provider."));
  return parts;
}

function step({ text, url, code: typed }) {
  return h("div.stack", null,
    text && h("p.break", null, text),
    url && h("div.actions.start", null, h("a.button.primary", { href: url, target: "_blank", rel: "noopener noreferrer" }, "Open the provider's page"), copyButton(url, "Copy the address")),
    typed && h("div.actions.start", null, h("span.muted", null, "Type there:"), h("span.code-big", { data: { code: "" } }, typed), copyButton(typed)));
}

function wanted(ask, reply) {
  if (ask.kind === "confirm") {
    return h("div.stack", null, h("p", null, ask.prompt), h("div.actions", null, button("", "No", () => reply({ yes: false })), button(".primary", "Yes", () => reply({ yes: true }))));
  }
  const input = h("input", { type: ask.secret ? "password" : "text", required: true, autocomplete: "off", spellcheck: "false" });
  const made = h("form.stack", {
    onsubmit: (event) => {
      event.preventDefault();
      reply({ text: input.value }).catch((error) => toast(error.message, "bad"));
    },
  }, field(ask.prompt || "Answer", input), h("div.actions", null, h("button", { type: "submit" }, "Send")));
  if (!ask.browser) return made;
  return h("div.stack", null, h("p.muted", { role: "status" }, "Waiting until you come back from the provider's page."),
    h("details.more", null, h("summary", null, "The browser is on another machine"), made));
}
