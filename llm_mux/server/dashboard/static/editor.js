// A place to write YAML: numbers beside the lines, colours, marks where something is wrong. Rule: the text is in a plain
// textarea, with all that browsers give to one; the colours lie behind it. Tab leaves it, as everywhere.

import { fill, h } from "./dom.js";

/**
 * @param {string} label @param {() => void} onchange @param {() => void} onsave Ctrl+S
 */
export function editor(label, onchange, onsave) {
  const gutter = h("div.gutter", { "aria-hidden": "true" });
  const behind = h("pre", { "aria-hidden": "true" });
  const area = h("textarea", { "aria-label": label, spellcheck: "false", autocomplete: "off", autocapitalize: "off", wrap: "off" });
  /** @type {Map<number, string>} */
  let wrong = new Map();
  const draw = () => {
    const lines = area.value.split("\n");
    fill(behind, lines.map((line) => [...coloured(line), "\n"]));
    fill(gutter, lines.map((_, at) => h("span", { class: wrong.has(at + 1) ? "bad" : "", title: wrong.get(at + 1) }, at + 1)));
    scrolled();
  };
  const scrolled = () => {
    behind.style.transform = `translate(${-area.scrollLeft}px, ${-area.scrollTop}px)`;
    gutter.scrollTop = area.scrollTop;
  };
  area.addEventListener("input", () => {
    draw();
    onchange();
  });
  area.addEventListener("scroll", scrolled);
  area.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "s") {
      event.preventDefault();
      onsave();
    } else if (event.key === "Enter") deeper(area, event);
  });
  return {
    element: h("div.editor", null, gutter, h("div.sheet", null, behind, area)),
    text: () => area.value,
    set: (text) => {
      area.value = text;
      draw();
    },
    mark: (problems) => {
      wrong = new Map(problems.filter((each) => each.line).map((each) => [each.line, each.message]));
      area.setAttribute("aria-invalid", String(problems.length > 0));
      draw();
    },
    go: (line, column) => go(area, line, column),
  };
}

/** A new line begins below the former one. */
function deeper(area, event) {
  const before = area.value.slice(0, area.selectionStart);
  const last = before.slice(before.lastIndexOf("\n") + 1);
  const indent = /^ */.exec(last)[0] + (/:\s*$/.test(last) ? "  " : "");
  if (!indent) return;
  event.preventDefault();
  // The only way of typing that can be undone.
  document.execCommand("insertText", false, `\n${indent}`);
}

function go(area, line, column) {
  const lines = area.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0) + Math.max(0, (column || 1) - 1);
  area.focus();
  area.setSelectionRange(start, start);
  const height = area.scrollHeight / lines.length;
  area.scrollTop = Math.max(0, (line - 6) * height);
}

const PIECES = /(#.*$)|("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')|^(\s*(?:- )*)((?!- )[^\s#:'"{[][^:#]*?)(?=:(?:\s|$))/g;

/** One line of YAML with its colours. @param {string} line */
function* coloured(line) {
  let at = 0;
  for (const found of line.matchAll(PIECES)) {
    const [whole, comment, string, indent, key] = found;
    if (comment && found.index > 0 && !/\s/.test(line[found.index - 1])) continue;
    if (found.index > at) yield line.slice(at, found.index);
    at = found.index + whole.length;
    if (comment) yield h("span.y-comment", null, comment);
    else if (string) yield h(/^["']\*\*\*/.test(string) ? "span.y-mark" : "span.y-string", null, string);
    else yield* [indent, h("span.y-key", null, key)];
  }
  if (at < line.length) yield line.slice(at);
}
