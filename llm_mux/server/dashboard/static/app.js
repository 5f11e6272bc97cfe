// The frame: which page is shown, signing in and out, colours, whether the daemon answers. Rule: a page is a module that
// is loaded when it is first wanted; it gets a View and leaves nothing running when its signal says that it is left.

import * as api from "./api.js";
import { fill, h, prose } from "./dom.js";
import { busy, empty, note, button, toast } from "./ui.js";

/**
 * @typedef {object} View
 * @property {HTMLElement} main where the page is
 * @property {URLSearchParams} query what follows `?` in the address
 * @property {string} rest what follows the page's name in the address
 * @property {AbortSignal} signal over when the page is left
 * @property {(...children: import("./dom.js").Child[]) => void} show puts the page in place
 * @property {() => void} ready the page has what it shows
 * @property {(work: () => any, ms: number) => void} every repeats while the page is looked at
 */

const TITLES = {
  home: "Home", live: "Live traffic", usage: "Usage and cost", inspector: "Inspector", logs: "Logs", accounts: "Accounts",
  models: "Models", routes: "Routes", keys: "Client keys", billing: "Balances", config: "Configuration", playground: "Playground",
  sessions: "Sessions",
};
const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const side = /** @type {HTMLElement} */ (document.getElementById("side"));
let left = new AbortController();

/** The address without "#/": page, what follows it, and the query. */
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const at = path.indexOf("/");
  const name = (at < 0 ? path : path.slice(0, at)) || "home";
  return { name, rest: at < 0 ? "" : decodeURIComponent(path.slice(at + 1)), query: new URLSearchParams(query) };
}

async function open() {
  const { name, rest, query } = place();
  left.abort();
  left = new AbortController();
  const signal = left.signal;
  const moved = main.dataset.page !== undefined && main.dataset.page !== name;
  mark(name);
  const ghost = setTimeout(() => signal.aborted || fill(main, h("p.unseen", null, "Loading"), h("div.ghost", { "aria-hidden": "true" }, h("i"), h("i"), h("i"))), 150);
  try {
    if (!(name in TITLES)) throw new Error("There is no such page.");
    const [{ page }] = await Promise.all([import(`./page-${name}.js`), firstSession]);
    if (!signal.aborted) await page(view(signal, rest, query, () => clearTimeout(ghost)));
  } catch (error) {
    if (!signal.aborted) fill(main, h("h1", null, TITLES[name] ?? "Not here"), empty("This page could not be shown", error.message, button("", "Try again", open), h("a.button", { href: "#/" }, "Home")));
  } finally {
    clearTimeout(ghost);
  }
  if (moved && !signal.aborted) main.focus({ preventScroll: true });
}

function view(signal, rest, query, arrived) {
  return {
    main, signal, rest, query,
    show: (...children) => {
      arrived();
      if (!signal.aborted) fill(main, children);
    },
    ready: () => {
      if (!signal.aborted) main.dataset.ready = "";
    },
    every: (work, ms) => {
      let running = false;
      const step = async () => {
        if (document.hidden || running) return;
        running = true;
        await Promise.resolve(work()).catch(() => {});
        running = false;
      };
      const timer = setInterval(step, ms);
      signal.addEventListener("abort", () => clearInterval(timer));
    },
  };
}

function mark(name) {
  const title = TITLES[name] ?? "Not here";
  document.title = `${title} · llm-mux`;
  /** @type {HTMLElement} */ (document.getElementById("top-page")).textContent = title;
  for (const link of side.querySelectorAll("[data-nav]")) {
    if (link instanceof HTMLElement && link.dataset.nav === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (main.dataset.page !== name) scrollTo(0, 0);
  main.dataset.page = name;
  delete main.dataset.ready;
  if (side.matches(":popover-open")) side.hidePopover();
}

// Signing in

let everIn = false;

function signIn() {
  return new Promise((resolve) => {
    const said = h("div");
    const key = h("input", { type: "password", id: "key", name: "key", required: true, autocomplete: "current-password", "aria-describedby": "key-hint", spellcheck: "false" });
    const submit = h("button.primary", { type: "submit" }, "Sign in");
    const made = h("dialog.sign-in", { class: everIn ? "" : "first", "aria-labelledby": "sign-in-title" },
      h("form.dialog", {
        onsubmit: (event) => {
          event.preventDefault();
          fill(said);
          busy(submit, async () => {
            const problem = await begun(key.value);
            if (problem) fill(said, note("bad", problem));
            else made.close();
          });
        },
      },
      !everIn && h("div.brand", { "aria-hidden": "true" }, document.querySelector(".side .brand svg")?.cloneNode(true), h("span", null, "llm-mux")),
      h("div.stack.tight", null,
        h("h2", { id: "sign-in-title" }, everIn ? "Sign in again" : "Sign in"),
        h("p.muted", null, everIn ? "Your session is over. What you were writing is still here." : "This page manages the llm-mux of this machine.")),
      h("input", { type: "text", name: "username", value: "llm-mux", autocomplete: "username", hidden: true }),
      h("div.field", null, h("span", null, h("label", { for: "key" }, "Management key")), key,
        h("small", { id: "key-hint" }, prose("`llm-mux --init` in a terminal shows it."))),
      said, submit));
    made.addEventListener("cancel", (event) => event.preventDefault());
    made.addEventListener("close", () => {
      made.remove();
      document.dispatchEvent(new Event("signed-in"));
      resolve(undefined);
    });
    document.body.append(made);
    made.showModal();
    key.focus();
  });
}

/** Begins a session with a key; what is wrong, if so. @param {string} key @returns {Promise<string>} */
async function begun(key) {
  const bytes = new TextEncoder().encode(key.trim());
  if (bytes.some((byte) => byte < 33 || byte > 126)) return "A management key has only letters, digits and signs, without spaces.";
  try {
    const response = await api.raw("/v0/management/session", { method: "POST", headers: { "X-Management-Key": key.trim() } });
    const body = await response.json().catch(() => ({}));
    if (!response.ok) return refused(new api.Refusal(response.status, body, response.headers));
    api.keepToken(body.csrf);
    everIn = true;
    return "";
  } catch (error) {
    return error.message;
  }
}

const refused = (refusal) => (refusal.wait ? `${refusal.message} Try again in ${refusal.wait} s.` : refusal.message);

async function session() {
  if (api.token()) {
    const response = await api.raw("/v0/management/session").catch(() => null);
    if (response === null || response.ok) {
      everIn = true;
      return;
    }
  }
  await api.renewed();
}

async function signOut() {
  left.abort();
  fill(main);
  await api.remove("/session").catch(() => {});
  api.keepToken(null);
  history.replaceState(null, "", "#/");
  location.reload();
}

// What the frame shows

function daemonState(up) {
  const shown = /** @type {HTMLElement} */ (document.getElementById("daemon"));
  const [dot, words] = shown.children;
  if (shown.dataset.up === String(up)) return;
  shown.dataset.up = String(up);
  dot.className = `dot ${up ? "good" : "bad"}`;
  words.textContent = up ? shown.dataset.version ?? "running" : "does not answer";
  if (up && shown.dataset.lost) toast("llm-mux is back.");
  shown.dataset.lost = up ? "" : "yes";
}

async function version() {
  const found = await api.get("/version");
  const shown = /** @type {HTMLElement} */ (document.getElementById("daemon"));
  shown.dataset.version = `llm-mux ${found.version}`;
  shown.children[1].textContent = shown.dataset.version;
}

function theme() {
  const choice = /** @type {HTMLElement} */ (document.getElementById("theme"));
  const chosen = document.documentElement.dataset.theme ?? "auto";
  for (const input of choice.querySelectorAll("input")) input.checked = input.value === chosen;
  choice.addEventListener("change", (event) => {
    const { value } = /** @type {HTMLInputElement} */ (event.target);
    if (value === "auto") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("llm-mux.theme");
    } else {
      document.documentElement.dataset.theme = value;
      localStorage.setItem("llm-mux.theme", value);
    }
  });
}

/** Once the frame is on the screen: what a page needs would hold it up. Nothing is ever painted in a tab behind others. */
const painted = new Promise((resolve) => {
  requestAnimationFrame(() => setTimeout(resolve));
  setTimeout(resolve, 200);
});

theme();
api.connect(signIn, daemonState);
const firstSession = painted.then(session);
addEventListener("hashchange", open);
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.getElementById("sign-out")?.addEventListener("click", signOut);
painted.then(open);
firstSession.then(version).catch(() => {});
