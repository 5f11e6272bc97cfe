// The configuration as its text. Rule: what is typed outlasts everything but closing the page, nothing is saved that was
// not seen as a change first, and secrets are marks that stand for what is there.

import { get, getText, post, sendText } from "./api.js";
import { diff, shown } from "./diff.js";
import { fill, h, prose } from "./dom.js";
import { moment, relative } from "./format.js";
import { editor } from "./editor.js";
import { button, dialog, field, head, note, select, toast } from "./ui.js";

const CHECK_MS = 600;

/** What is typed and not saved: it is still there after a visit to another page. @type {{base: string, text: string} | null} */
let draft = null;

addEventListener("beforeunload", (event) => {
  if (draft !== null) event.preventDefault();
});

/** @param {import("./app.js").View} view */
export async function page(view) {
  const page = new Page(view);
  await page.open();
  view.ready();
}

class Page {
  /** @param {import("./app.js").View} view */
  constructor(view) {
    this.view = view;
    this.base = "";
    this.tag = "";
    this.due = 0;
    this.state = h("div.stack");
    this.problems = h("div", { "aria-live": "polite" });
    this.words = h("p.muted.small.break", { role: "status" });
    this.save = button(".primary", "Review and save", () => this.review());
    this.drop = button("", "Give the changes up", () => this.giveUp());
    this.editor = editor("Configuration, YAML", () => this.typed(), () => this.save.click());
  }

  async open() {
    this.view.show(
      head("Configuration", ["The file itself, with its comments. A secret is shown as a mark like ", h("code", null, '"***1f2e3d4c5b6a"'), "; leave it and the secret stays."],
        button("", "Restore an earlier version", () => this.restore()), this.drop, this.save),
      this.state, this.problems, this.editor.element, this.words);
    await this.load();
  }

  async load() {
    const [{ text, tag }, settings] = await Promise.all([getText("/config.yaml", {}, this.view.signal), get("/config", {}, this.view.signal)]);
    this.base = text;
    this.tag = tag;
    this.told(settings.state);
    if (draft !== null && draft.base !== text) fill(this.problems, note("warn", "The file has changed since you began. Your text is kept; the review shows how it differs from the file now."));
    this.editor.set(draft?.text ?? text);
    this.typed();
  }

  told(state) {
    fill(this.state,
      state.error && note("bad", h("span", null, h("strong", null, "The file as it is on disk is not in effect. "), state.error)),
      state.secrets_error && note("bad", state.secrets_error),
      state.needs_restart?.length > 0 && note("warn", `In effect after a restart: ${state.needs_restart.join(", ")}.`));
    this.where = state.file;
    this.since = state.loaded_at;
    this.line();
  }

  line() {
    this.words.textContent = [this.where, this.since && `in effect since ${moment(this.since)}`, draft ? "not saved yet" : "saved", "Ctrl+S reviews"].filter(Boolean).join(" · ");
  }

  typed() {
    const text = this.editor.text();
    draft = text === this.base ? null : { base: this.base, text };
    this.save.disabled = this.drop.disabled = draft === null;
    this.line();
    clearTimeout(this.due);
    this.due = window.setTimeout(() => this.check(text), CHECK_MS);
  }

  /** What the daemon would say to it, without putting it in effect. */
  async check(text) {
    if (draft === null) {
      this.complain([]);
      return;
    }
    try {
      const found = await sendText("POST", "/config.yaml/check", text);
      if (text === this.editor.text()) this.complain(found.problems, found);
    } catch {
      // It is only a courtesy; saving says it again.
    }
  }

  complain(problems, { warnings = [], needs_restart = [] } = {}) {
    this.editor.mark(problems);
    fill(this.problems,
      problems.length > 0 && note("bad", h("ul.problems", null, problems.map((each) => h("li", null,
        each.line ? [button(".link", `Line ${each.line}`, () => this.editor.go(each.line, each.column)), ": "] : null, prose(each.message))))),
      warnings.map((each) => note("warn", each)),
      needs_restart.length > 0 && note("", `Once saved, a restart is needed for ${needs_restart.join(", ")}.`));
  }

  async review() {
    if (draft === null) return;
    const text = this.editor.text();
    const saved = await dialog("What changes", (close) => {
      const said = h("div");
      return [shown(diff(this.base, text)), said, h("div.actions", null, button("", "Back to the text", () => close()), button(".primary", "Save and put in effect", async () => {
        try {
          close(await sendText("PUT", "/config.yaml", text, this.tag));
        } catch (error) {
          if (error.code === "invalid_config") this.complain(error.problems ?? lines(error.message));
          fill(said, note("bad", error.message, error.code === "config_changed" && button("", "Compare with it now", async () => {
            close();
            await this.load();
            await this.review();
          })));
        }
      }))];
    }, { kind: "wide" });
    if (saved) await this.stored(saved, "Saved and in effect.");
  }

  async stored(state, words) {
    draft = null;
    fill(this.problems);
    await this.load();
    this.told(state);
    toast(state.needs_restart?.length ? `Saved. A restart is needed for ${state.needs_restart.join(", ")}.` : words);
  }

  giveUp() {
    draft = null;
    fill(this.problems);
    this.editor.set(this.base);
    this.typed();
  }

  async restore() {
    const { versions } = await get("/config.yaml/versions", {}, this.view.signal);
    if (!versions.length) {
      toast("There is no earlier version: none has been replaced from here yet.");
      return;
    }
    const saved = await dialog("Restore an earlier version", (close) => {
      const change = h("div");
      const show = async (version) => fill(change, shown(diff(this.base, (await getText("/config.yaml/previous", { version })).text)));
      const choice = select({ onchange: () => show(choice.value).catch((error) => fill(change, note("bad", error.message))) },
        versions.map((each) => /** @type {[string, string]} */ ([String(each.version), `replaced ${relative(each.replaced)}, ${moment(each.replaced)}`])));
      show(choice.value).catch((error) => fill(change, note("bad", error.message)));
      return [field("Version", choice, "What is there now becomes the newest earlier version, so this can be undone the same way."), change,
        h("div.actions", null, button("", "Leave it", () => close()), button(".primary", "Restore", async () => close(await post("/config.yaml/restore", undefined, { version: choice.value }))))];
    }, { kind: "wide" });
    if (saved) await this.stored(saved, "That version is in effect.");
  }
}

/** Problems by their lines, out of the words of a refusal: `config.yaml:3:5: what is wrong`. @param {string} message */
export function lines(message) {
  return message.split("\n").map((each) => {
    const found = /^(.*?):(\d+)(?::(\d+))?: (.*)$/.exec(each);
    return found ? { line: Number(found[2]), column: Number(found[3] ?? 1), message: found[4] } : { line: 0, column: 0, message: each };
  });
}
