// What pages are made of: heads, tables, fields, dialogs, notes, copy buttons. Rule: every control has a name, every
// dialog is a <dialog>, and a button that works shows it and cannot be pressed twice.

import { fill, h, icon, prose } from "./dom.js";

/** The top of a page. @param {string} title @param {import("./dom.js").Child} about @param {...import("./dom.js").Child} actions */
export const head = (title, about, ...actions) =>
  h("div.page-head", null, h("div", null, h("h1", null, title), about && h("p", null, typeof about === "string" ? prose(about) : about)), actions.length > 0 && h("div.actions", null, actions));

let toastEnds = 0;

/** A short message that goes by itself. @param {string} text @param {"" | "bad"} [kind] */
export function toast(text, kind = "") {
  const place = /** @type {HTMLElement} */ (document.getElementById("toasts"));
  const open = [...document.querySelectorAll("dialog[open]")].at(-1);
  (open ?? document.body).append(place);
  const shown = h("div.toast", { class: kind }, prose(text));
  place.append(shown);
  clearTimeout(toastEnds);
  toastEnds = setTimeout(() => {
    fill(place);
    document.body.append(place);
  }, kind ? 9000 : 4500);
}

/**
 * A button whose work may take a while; what goes wrong is said in a toast unless `work` deals with it.
 * @param {string} kind classes such as ".primary" @param {import("./dom.js").Child} label
 * @param {(event: Event) => any} work @param {Record<string, any>} [props]
 */
export function button(kind, label, work, props = {}) {
  const made = h(`button${kind}`, {
    type: "button",
    ...props,
    onclick: (event) => {
      event.stopPropagation();
      return busy(made, () => work(event));
    },
  }, label);
  return made;
}

/** Runs `work` while `control` says that it does. @param {HTMLElement} control @param {() => any} work */
export async function busy(control, work) {
  if (control.getAttribute("aria-busy") === "true") return;
  control.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    toast(error.message, "bad");
  } finally {
    control.removeAttribute("aria-busy");
  }
}

/** @param {string} text @param {string} [label] */
export function copyButton(text, label = "Copy") {
  const said = h("span", null, label);
  const made = button(".tiny", [icon("copy"), said], async () => {
    await copy(typeof text === "function" ? text() : text);
    said.textContent = "Copied";
    setTimeout(() => { said.textContent = label; }, 1600);
  });
  return made;
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without TLS and off this machine browsers give pages no clipboard but this one.
  const box = h("textarea", { value: text, "aria-hidden": "true" });
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
}

/** Code with its copy button. @param {string} text @param {string} [label] what it is, for those who cannot see it @param {boolean} [wrap] */
export const code = (text, label = "Code", wrap = false) =>
  h("div.copy", null, h("pre", { class: wrap ? "wrap" : "", tabindex: "0", role: "region", "aria-label": label }, text), copyButton(text));

/** @param {"" | "warn" | "bad" | "good"} kind @param {...import("./dom.js").Child} children */
export const note = (kind, ...children) => h("div.note", { class: kind, role: kind === "bad" ? "alert" : null }, children.map((each) => (typeof each === "string" ? h("span", null, prose(each)) : each)));

/** @param {string} title @param {import("./dom.js").Child} [hint] @param {...import("./dom.js").Child} actions */
export const empty = (title, hint, ...actions) =>
  h("div.empty", null, h("strong", null, title), hint && h("p", null, typeof hint === "string" ? prose(hint) : hint), actions.length > 0 && h("div.actions", null, actions));

/** @param {string} text @param {"" | "good" | "warn" | "bad" | "info"} [kind] */
export const tag = (text, kind = "") => h("span.tag", { class: kind }, text);

/**
 * @typedef {object} Column
 * @property {string} label
 * @property {(row: any) => import("./dom.js").Child} show
 * @property {(row: any) => any} [sort] what rows are sorted by
 * @property {"" | "right" | "acts" | "lead" | "wide"} [kind]
 */

/** The cells of one row. @param {Column[]} columns @param {any} row */
export const cells = (columns, row) =>
  columns.map((column) => {
    const shown = column.show(row);
    const none = shown === null || shown === undefined || shown === false || shown === "";
    return h("td", { class: `${column.kind ?? ""}${none ? " none" : ""}`, data: { label: column.label } }, shown);
  });

/**
 * A table that can be sorted by its heads; on a phone its rows are small cards.
 * @param {{label: string, columns: Column[], rows: any[], by?: number, down?: boolean, onrow?: (row: any) => void}} given
 */
export function table({ label, columns, rows, by = -1, down = false, onrow }) {
  const body = h("tbody");
  const heads = columns.map((column, at) => columnHead(column, () => {
    down = by === at ? !down : column.kind === "right";
    by = at;
    draw();
  }));
  const draw = () => {
    const key = columns[by]?.sort;
    const sorted = key ? [...rows].sort((a, b) => compared(key(a), key(b)) * (down ? -1 : 1)) : rows;
    heads.forEach((each, at) => columns[at].sort && each.setAttribute("aria-sort", at !== by ? "none" : down ? "descending" : "ascending"));
    fill(body, sorted.map((row) => tableRow(columns, row, onrow)));
    leaveOut(heads, body);
  };
  draw();
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": label }, h("table.rows", null, h("caption.unseen", null, label), h("thead", null, h("tr", null, heads)), body));
}

/** Columns that say nothing of any row are not shown. */
function leaveOut(heads, body) {
  const rows = [...body.rows];
  heads.forEach((each, at) => {
    const gone = rows.every((row) => row.cells[at].classList.contains("none"));
    for (const cell of [each, ...rows.map((row) => row.cells[at])]) cell.classList.toggle("gone", gone);
  });
}

function columnHead(column, sort) {
  const label = column.kind === "acts" ? h("span.unseen", null, column.label) : column.label;
  return h("th", { scope: "col", class: column.kind === "right" ? "right" : "" }, column.sort ? h("button", { type: "button", onclick: sort }, label) : label);
}

function tableRow(columns, row, onrow) {
  const made = h("tr", onrow ? { class: "clickable", onclick: (event) => event.target.closest("a, button, input, details") || getSelection()?.toString() || onrow(row) } : null);
  made.append(...cells(columns, row));
  return made;
}

function compared(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a < b ? -1 : 1;
}

let fields = 0;

/**
 * A named control. `hint` says what to put in.
 * @param {string} label @param {HTMLElement} control @param {import("./dom.js").Child} [hint] @param {string} [kind]
 */
export function field(label, control, hint, kind = "") {
  fields += 1;
  control.id ||= `field-${fields}`;
  const small = hint && h("small", { id: `hint-${fields}` }, typeof hint === "string" ? prose(hint) : hint);
  if (small) control.setAttribute("aria-describedby", small.id);
  return h("div.field", { class: kind }, h("span", null, h("label", { for: control.id }, label)), control, small);
}

/** @param {string} label @param {Record<string, any>} [props] */
export const check = (label, props = {}) => h("label.check", null, h("input", { type: "checkbox", ...props }), h("span", null, label));

/** @param {Record<string, any> | null} props @param {(string | [string, string])[]} options values, or values with words @param {string} [chosen] */
export const select = (props, options, chosen) =>
  h("select", props, options.map((each) => {
    const [value, words] = Array.isArray(each) ? each : [each, each];
    return h("option", { value, selected: value === chosen }, words);
  }));

/**
 * A choice of few, all in sight.
 * @param {string} label @param {[string, string][]} options @param {string} chosen @param {(value: string) => void} onchange
 */
export function segmented(label, options, chosen, onchange) {
  fields += 1;
  const name = `choice-${fields}`;
  return h("fieldset.segmented", { onchange: (event) => onchange(event.target.value) },
    h("legend.unseen", null, label),
    options.map(([value, words]) => h("label", null, h("input", { type: "radio", name, value, checked: value === chosen }), h("span", null, words))));
}

/**
 * A dialog over the page. Resolves with what `close` was called with, null when it was left.
 * @param {string} title @param {(close: (value?: any) => void, dialog: HTMLDialogElement) => import("./dom.js").Child} content
 * @param {{kind?: string, leave?: boolean}} [options] `leave` false: it cannot be left without an answer
 * @returns {Promise<any>}
 */
export function dialog(title, content, { kind = "", leave = true } = {}) {
  return new Promise((resolve) => {
    fields += 1;
    const id = `dialog-${fields}`;
    let answer = null;
    const made = h("dialog", { class: kind, "aria-labelledby": id });
    const close = (value = null) => {
      answer = value;
      made.close();
    };
    const leaving = button(".quiet.icon-only", icon("close"), () => close(), { "aria-label": "Close" });
    made.append(h("div.dialog", null, h("header", null, h("h2", { id }, title), leave && leaving), content(close, made)));
    if (!leave) made.addEventListener("cancel", (event) => event.preventDefault());
    made.addEventListener("close", () => {
      document.body.append(/** @type {HTMLElement} */ (document.getElementById("toasts")));
      made.remove();
      resolve(answer);
    });
    document.body.append(made);
    made.showModal();
    // Not the button that closes it: what one came for.
    /** @type {HTMLElement | null} */ (made.querySelector("[autofocus]") ?? made.querySelector(FIRST))?.focus();
  });
}

const FIRST = ".dialog > :not(header) :is(input:not([type=hidden]), select, textarea, button):not([disabled], [readonly])";

/** @param {string} title @param {import("./dom.js").Child} text @param {string} yes @param {string} [kind] */
export const confirm = (title, text, yes, kind = ".danger") =>
  dialog(title, (close) => [h("p", null, text), h("div.actions", null, button("", "Cancel", () => close(false)), button(kind, yes, () => close(true)))]).then(Boolean);

/**
 * A form in a dialog: `send` gets its data and closes it by returning; what it throws is said in the form.
 * @param {{children: import("./dom.js").Child, yes: string, send: (data: FormData) => any, close: (value: any) => void}} given
 */
export function form({ children, yes, send, close }) {
  const said = h("div");
  const submit = h("button.primary", { type: "submit" }, yes);
  const made = h("form.stack", {
    onsubmit: (event) => {
      event.preventDefault();
      fill(said);
      busy(submit, async () => {
        try {
          const answer = await send(new FormData(made));
          if (answer !== undefined) close(answer);
        } catch (error) {
          fill(said, note("bad", error.message));
          /** @type {HTMLElement | null} */ (made.querySelector(`[name="${CSS.escape(error.param ?? "")}"]`))?.focus();
        }
      });
    },
  }, children, said, h("div.actions", null, button("", "Cancel", () => close(null)), submit));
  return made;
}

/** A share as a bar. @param {number | null} share 0 to 1 @param {string} label @param {boolean} [judge] colour it by how full it is */
export function meter(share, label, judge = true) {
  const full = Math.max(0, Math.min(1, share ?? 0));
  const bar = h("i", { style: { width: `${full * 100}%` } });
  const kind = !judge ? "" : full >= 0.95 ? "bad" : full >= 0.8 ? "warn" : "";
  return h("span.meter", { class: kind, role: "img", "aria-label": label }, bar);
}

/** @param {[string, import("./dom.js").Child][]} pairs those without a value are left out */
export const facts = (pairs) =>
  h("dl.facts", null, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));

/** Figures in a row. @param {[string, import("./dom.js").Child, import("./dom.js").Child?][]} figures name, figure, what to add */
export const tiles = (figures) =>
  h("dl.tiles", null, figures.map(([name, figure, more]) => h("div", null, h("dt", null, name), h("dd", null, figure, more && h("small", null, more)))));

/** Offers text as a file. @param {string} name @param {string} text @param {string} type */
export function download(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
