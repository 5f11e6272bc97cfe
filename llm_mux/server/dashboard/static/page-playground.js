// Playground: talk to any model through any of the five protocols and see the raw wire. Rule: requests go to the same
// addresses as those of every tool; what is shown is what was sent and what came.

import { get, pieces, raw } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { count, duration, money } from "./format.js";
import { PROTOCOLS, curl, reader } from "./protocols.js";
import { button, check, copyButton, field, head, note, segmented, select, tag } from "./ui.js";

const EFFORTS = /** @type {[string, string][]} */ ([["none", "as the model likes"], ["low", "little"], ["medium", "some"], ["high", "much"]]);
const MOST_WIRE = 400000;

/** What is being talked about; it outlasts a visit to another page. */
const talk = { protocol: "openai_chat", model: "", system: "", turns: [], stream: true, most: null, temperature: null, effort: "none", text: "" };

/** @param {import("./app.js").View} view */
export async function page(view) {
  talk.model = view.query.get("model") ?? talk.model;
  const models = await get("/models", {}, view.signal).then((found) => found.models).catch(() => []);
  talk.model ||= models[0]?.name ?? "";
  const play = new Play(view, models);
  play.open();
  view.ready();
}

class Play {
  constructor(view, models) {
    this.view = view;
    this.models = models;
    this.turns = h("div.stack", { role: "log", "aria-label": "Conversation", "aria-live": "off" });
    this.request = h("pre.wire", { tabindex: "0", role: "region", "aria-label": "The request" });
    this.response = h("pre.wire", { tabindex: "0", role: "region", "aria-label": "The response as it comes" });
    this.heads = h("div.stack");
    this.figures = h("div.tags", { role: "status" });
    this.send = h("button.primary", { type: "submit" }, "Send");
    this.stop = button("", "Stop", () => this.ending?.abort(), { hidden: true });
    /** @type {AbortController | null} */
    this.ending = null;
  }

  open() {
    this.view.show(
      head("Playground", "Any model through any protocol, with all that goes over the wire.", button("", [icon("plus"), "New conversation"], () => this.fresh())),
      segmented("Protocol", Object.entries(PROTOCOLS).map(([name, each]) => [name, each.title]), talk.protocol, (value) => {
        talk.protocol = value;
        this.preview();
      }),
      h("div.play", null, h("section.card", null, this.knobs(), this.turns, this.prompt()), h("div.stack", null,
        h("section.card", null, h("div.spread", null, h("h2", null, "Request"), copyButton(() => curl(location.origin, this.asked()), "Copy as curl")), this.request),
        h("section.card", null, h("div.spread", null, h("h2", null, "Response"), copyButton(() => this.response.textContent)), this.figures, this.heads, this.response))));
    this.draw();
    this.preview();
  }

  knobs() {
    const on = (name, as = (value) => value) => ({ oninput: (event) => { talk[name] = as(event.target.value); this.preview(); } });
    const number = (value) => (value === "" ? null : Number(value));
    const known = h("datalist", { id: "play-models" }, this.models.map((model) => h("option", { value: model.name })));
    return h("div.stack", null, known,
      field("Model", h("input", { value: talk.model, list: "play-models", required: true, autocomplete: "off", spellcheck: "false", ...on("model") })),
      h("details.more", null, h("summary", null, "System prompt and options"), h("div.stack", null,
        field("System prompt", h("textarea", { rows: 2, value: talk.system, ...on("system") })),
        h("div.fields", null,
          field("Most tokens", h("input", { type: "number", min: 1, value: talk.most, ...on("most", number) })),
          field("Temperature", h("input", { type: "number", min: 0, max: 2, step: 0.1, value: talk.temperature, ...on("temperature", number) })),
          field("Thinking", select({ onchange: (event) => { talk.effort = event.target.value; this.preview(); } }, EFFORTS, talk.effort))),
        check("Stream the answer", { checked: talk.stream, onchange: (event) => { talk.stream = event.target.checked; this.preview(); } }))));
  }

  prompt() {
    this.text = h("textarea", {
      rows: 3, "aria-label": "Message", placeholder: "Say something. Enter sends, Shift+Enter begins a new line.", value: talk.text,
      oninput: (event) => { talk.text = event.target.value; this.preview(); },
      onkeydown: (event) => {
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        this.form.requestSubmit();
      },
    });
    this.form = h("form.stack", { onsubmit: (event) => { event.preventDefault(); this.go(); } }, this.text, h("div.actions", null, this.send, this.stop));
    return this.form;
  }

  /** The request as it would go now. */
  asked() {
    const turns = talk.text.trim() ? [...talk.turns, { role: "user", text: talk.text }] : talk.turns;
    return PROTOCOLS[talk.protocol].ask({ ...talk, turns });
  }

  preview() {
    if (!this.ending) this.request.textContent = written(this.asked());
  }

  fresh() {
    this.ending?.abort();
    talk.turns = [];
    fill(this.figures);
    fill(this.heads);
    this.response.textContent = "";
    this.draw();
    this.preview();
    this.text.focus();
  }

  draw() {
    fill(this.turns, talk.turns.map((turn) => bubble(turn)));
    this.turns.hidden = !talk.turns.length;
  }

  async go() {
    if (this.ending || !talk.text.trim() || !talk.model) return;
    const ask = this.asked();
    const run = { protocol: PROTOCOLS[talk.protocol], stream: talk.stream, began: performance.now(), first: null, usage: {}, answer: { role: "assistant", text: "", thought: "" } };
    this.request.textContent = written(ask);
    this.response.textContent = "";
    fill(this.heads);
    fill(this.figures, tag("waiting", "info"));
    talk.turns.push({ role: "user", text: talk.text }, run.answer);
    talk.text = this.text.value = "";
    this.draw();
    this.ending = new AbortController();
    this.stop.hidden = false;
    this.send.disabled = true;
    try {
      await this.exchange(ask, run);
    } catch (error) {
      this.failed(run, this.ending.signal.aborted ? "You stopped it." : error.message);
    }
    this.ending = null;
    this.stop.hidden = true;
    this.send.disabled = false;
  }

  async exchange(ask, run) {
    const signal = AbortSignal.any([this.ending.signal, this.view.signal]);
    const response = await raw(ask.path, { method: "POST", headers: { "Content-Type": "application/json", ...ask.headers }, body: JSON.stringify(ask.body), signal });
    fill(this.heads, headers(response));
    const stream = run.stream && response.ok;
    const reading = reader(run.protocol, stream);
    const hear = (said) => said.forEach((each) => this.hear(run, each));
    let wire = "";
    for await (const piece of pieces(response)) {
      run.first ??= performance.now();
      wire += piece;
      if (stream) this.response.textContent = wire.length > MOST_WIRE ? `${wire.slice(0, MOST_WIRE)}\n(cut here)` : wire;
      hear(reading.take(piece));
      this.update(run);
    }
    hear(reading.end());
    if (!stream) this.response.textContent = indented(wire);
    this.update(run);
    fill(this.figures, figures(response, run));
    if (!response.ok && !run.error) this.failed(run, `The daemon answered ${response.status}.`);
  }

  hear(run, said) {
    if (said.text) run.answer.text += said.text;
    if (said.thought) run.answer.thought += said.thought;
    for (const [name, value] of Object.entries(said.usage ?? {})) if (value !== undefined) run.usage[name] = value;
    if (said.error) this.failed(run, said.error);
  }

  update(run) {
    const last = this.turns.lastElementChild;
    if (last && !run.error) last.replaceWith(bubble(run.answer));
  }

  failed(run, message) {
    run.error = message;
    talk.turns = talk.turns.filter((turn) => turn !== run.answer);
    const asked = talk.turns.pop();
    if (asked && !talk.text) talk.text = this.text.value = asked.text;
    fill(this.turns, talk.turns.map((turn) => bubble(turn)), note("bad", message));
    this.turns.hidden = false;
  }
}

function bubble({ role, text, thought }) {
  return h("div.turn", { class: role }, h("span.who", null, role === "user" ? "You" : "Model"),
    thought && h("div.thought", null, thought), h("div.said", null, text || (role === "assistant" && !thought ? "…" : "")));
}

const written = ({ path, headers, body }) => [`POST ${path}`, ...Object.entries(headers ?? {}).map(([name, value]) => `${name}: ${value}`), "", JSON.stringify(body, null, 2)].join("\n");

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function headers(response) {
  const told = [...response.headers].filter(([name]) => name.startsWith("x-llm-mux") || name === "x-request-id" || name === "content-type" || name.startsWith("x-ratelimit"));
  const id = response.headers.get("x-request-id");
  return h("div.small.stack.tight", null, h("pre.mono.muted.break.headers", null, told.map(([name, value]) => `${name}: ${value}`).join("\n")),
    id && h("a", { href: `#/inspector/${encodeURIComponent(id)}` }, "See this exchange in the inspector"));
}

function figures(response, run) {
  const took = performance.now() - run.began;
  const writing = performance.now() - (run.first ?? run.began);
  const { input, output } = run.usage;
  return [
    tag(String(response.status), response.ok ? "good" : "bad"),
    run.first !== null && tag(`first byte ${duration(run.first - run.began)}`), tag(`took ${duration(took)}`),
    input !== undefined && tag(`${count(input)} in`), output !== undefined && tag(`${count(output)} out`),
    run.stream && output > 1 && writing > 50 && tag(`${count(Math.round((output / writing) * 1000))} tok/s`),
    response.headers.get("x-llm-mux-cost") && tag(money(response.headers.get("x-llm-mux-cost"))),
  ];
}
