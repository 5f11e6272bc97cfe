// How numbers, money and times read. Rule: times are the reader's own, days of the books are UTC as the books count them.

const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 12,345. @param {number | null | undefined} n */
export const count = (n) => (n === null || n === undefined ? "–" : WHOLE.format(n));

/** 12.3K. @param {number | null | undefined} n */
export const short = (n) => (n === null || n === undefined ? "–" : Math.abs(n) < 10000 ? WHOLE.format(Math.round(n)) : SHORT.format(n));

/** US dollars with as many decimals as say something. @param {string | number | null | undefined} usd */
export function money(usd) {
  if (usd === null || usd === undefined) return "–";
  const n = Number(usd);
  if (n === 0) return "$0";
  const digits = Math.abs(n) >= 100 ? 0 : Math.abs(n) >= 0.1 ? 2 : Math.abs(n) >= 0.001 ? 4 : 6;
  return `$${n.toLocaleString("en", { minimumFractionDigits: Math.min(digits, 2), maximumFractionDigits: digits })}`;
}

/** 840 ms, 3.2 s, 2 min. @param {number | null | undefined} ms */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 100000) return `${(ms / 1000).toFixed(ms < 10000 ? 1 : 0)} s`;
  return span(ms / 1000);
}

/** How long something takes or is away: 45 s, 12 min, 3 h 10 min, 4 d. @param {number} seconds */
export function span(seconds) {
  const left = Math.max(0, Math.round(seconds));
  if (left < 90) return `${left} s`;
  const minutes = Math.round(left / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 && hours < 10 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} d`;
}

/** Tokens a second of an answer, without the wait for its first. @param {Record<string, any>} line */
export function speed(line) {
  const writing = line.duration_ms - (line.ttft_ms ?? 0);
  return line.output_tokens > 1 && writing > 20 ? (line.output_tokens / writing) * 1000 : null;
}

/** @param {string | number | Date | null | undefined} when ISO text or unix seconds */
export function date(when) {
  if (when === null || when === undefined || when === "") return null;
  const found = when instanceof Date ? when : new Date(typeof when === "number" ? when * 1000 : when);
  return Number.isNaN(found.getTime()) ? null : found;
}

/** 14:03:22. @param {any} when */
export const clock = (when) => date(when)?.toLocaleTimeString("en-GB") ?? "–";

/** 29 Nov, 14:03. @param {any} when */
export const moment = (when) =>
  date(when)?.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }) ?? "–";

/** 29 Nov 2026. @param {any} when */
export const day = (when) =>
  date(when)?.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" }) ?? "–";

/** in 3 h, 5 min ago. @param {any} when @param {number} [now] unix milliseconds */
export function relative(when, now = Date.now()) {
  const found = date(when);
  if (found === null) return "–";
  const seconds = (found.getTime() - now) / 1000;
  if (Math.abs(seconds) < 5) return "now";
  return seconds > 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
}

/** @param {number | null | undefined} share 0 to 1 */
export const percent = (share) => (share === null || share === undefined ? "–" : `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)}%`);

/** JSON as it reads, and anything else as it is. @param {string} text */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** "1 account", "3 accounts". @param {number} n @param {string} word */
export const some = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
