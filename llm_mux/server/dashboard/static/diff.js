// Two texts side by side, line by line. Rule: the shortest way from one to the other, and lines around it to find it by.

import { h } from "./dom.js";

const AROUND = 3;
const MOST_CELLS = 4e6;

/**
 * @typedef {object} Line
 * @property {"same" | "add" | "del"} kind
 * @property {string} text
 * @property {number | null} before the line's number in the old text
 * @property {number | null} after the line's number in the new text
 */

/** @param {string} before @param {string} after @returns {Line[]} */
export function diff(before, after) {
  const a = before.split("\n");
  const b = after.split("\n");
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const middle = changed(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  const same = (lines) => lines.map((text) => ({ kind: "same", text }));
  return numbered([...same(a.slice(0, head)), ...middle, ...same(tail ? a.slice(-tail) : [])]);
}

/** By the longest common lines; where that is too much, all of the one and then all of the other. */
function changed(a, b) {
  if (a.length * b.length > MOST_CELLS) return [...a.map((text) => ({ kind: "del", text })), ...b.map((text) => ({ kind: "add", text }))];
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const found = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      found.push({ kind: "same", text: a[i] });
      i += 1;
      j += 1;
    } else if (i < a.length && (j === b.length || longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
      found.push({ kind: "del", text: a[i] });
      i += 1;
    } else {
      found.push({ kind: "add", text: b[j] });
      j += 1;
    }
  }
  return found;
}

function numbered(lines) {
  let before = 0;
  let after = 0;
  return lines.map((line) => ({
    ...line,
    before: line.kind === "add" ? null : (before += 1),
    after: line.kind === "del" ? null : (after += 1),
  }));
}

/** The change to look at; far from it lines are left out. @param {Line[]} lines */
export function shown(lines) {
  const near = lines.map((_, at) => lines.slice(Math.max(0, at - AROUND), at + AROUND + 1).some((line) => line.kind !== "same"));
  const parts = [];
  for (let at = 0; at < lines.length; at += 1) {
    if (near[at]) parts.push(row(lines[at]));
    else if (at === 0 || near[at - 1]) parts.push(h("div.gap", null, "⋯"));
  }
  return h("div.diff", { tabindex: "0", role: "region", "aria-label": "What changes" }, parts);
}

const SIGNS = { same: " ", add: "+", del: "−" };
const SAID = { same: "", add: "added: ", del: "removed: " };

function row(line) {
  return h("div", { class: line.kind }, h("span", null, line.before ?? ""), h("span", null, line.after ?? ""), h("b", { "aria-hidden": "true" }, SIGNS[line.kind]), h("b", null, SAID[line.kind] && h("span.unseen", null, SAID[line.kind]), line.text));
}
