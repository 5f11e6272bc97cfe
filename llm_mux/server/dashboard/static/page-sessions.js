// Sessions: who is signed in at this dashboard, and how to end that. Rule: what is said of a browser is what it said of
// itself, so it is text and no more.

import { get, remove } from "./api.js";
import { fill, h } from "./dom.js";
import { moment, relative } from "./format.js";
import { button, confirm, head, table, tag, toast } from "./ui.js";

/** @param {import("./app.js").View} view */
export async function page(view) {
  const list = h("div.card.flush");
  const others = button(".danger", "End all others", async () => {
    if (!(await confirm("End all other sessions?", "Whoever is signed in elsewhere has to sign in again with the management key.", "End them"))) return;
    toast((await remove("/sessions")).message);
    await load();
  });
  const load = async () => {
    const { sessions } = await get("/sessions", {}, view.signal);
    others.disabled = sessions.every((each) => each.current);
    fill(list, table({ label: "Sessions, the one that was used last first", rows: sessions, columns: columns(load) }));
  };
  view.show(head("Sessions", "Browsers that are signed in here. A session ends by itself after eight hours without use, after three days, and with the daemon.", others), list);
  await load();
  view.ready();
}

/** @returns {import("./ui.js").Column[]} */
const columns = (load) => [
  { label: "Browser", kind: "lead", show: (each) => [h("span.actions", null, h("span.break", null, named(each.browser)), each.current && tag("this one", "good")), h("span.sub.break", null, each.browser)] },
  { label: "Address", show: (each) => each.address },
  { label: "Last used", show: (each) => h("span.nowrap", { title: moment(each.used) }, each.current ? "now" : relative(each.used)) },
  { label: "Signed in", show: (each) => h("span.nowrap", null, moment(each.began)) },
  { label: "Ends at the latest", show: (each) => h("span.nowrap", null, moment(each.expires)) },
  { label: "Do", kind: "acts", show: (each) => !each.current && button(".tiny.danger", "End", async () => {
    toast((await remove(`/sessions/${encodeURIComponent(each.id)}`)).message);
    await load();
  }, { "aria-label": `End the session of ${named(each.browser)} from ${each.address}` }) },
];

const BROWSERS = [[/\bEdg\/(\d+)/, "Edge"], [/\bOPR\/(\d+)/, "Opera"], [/\bFirefox\/(\d+)/, "Firefox"], [/Chrom(?:e|ium)\/(\d+)/, "Chrome"], [/Version\/(\d+).*Safari/, "Safari"]];
const SYSTEMS = [[/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Windows/, "Windows"], [/Mac OS X/, "macOS"], [/Linux/, "Linux"]];

/** "Firefox 140 on Linux". @param {string} agent */
export function named(agent) {
  const browser = BROWSERS.map(([pattern, name]) => /** @type {RegExp} */ (pattern).exec(agent) && `${name} ${/** @type {RegExp} */ (pattern).exec(agent)?.[1]}`).find(Boolean);
  const system = SYSTEMS.find(([pattern]) => /** @type {RegExp} */ (pattern).test(agent))?.[1];
  return browser ? [browser, system].filter(Boolean).join(" on ") : agent.split(" ")[0] || "unknown";
}
