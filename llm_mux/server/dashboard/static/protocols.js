// The five protocols as a client speaks them: where a request goes, what is in it, and what its answer says. Rule: what is
// built here is exactly what is sent and shown; llm-mux sees no difference to any other client.

/**
 * @typedef {object} Talk
 * @property {string} model
 * @property {string} system
 * @property {{role: "user" | "assistant", text: string}[]} turns
 * @property {boolean} stream
 * @property {number | null} most tokens of the answer
 * @property {number | null} temperature
 * @property {string} effort none, low, medium, high
 */

/**
 * What one piece of an answer says.
 * @typedef {{text?: string, thought?: string, usage?: {input?: number, output?: number}, error?: string}} Said
 */

/**
 * @typedef {object} Protocol
 * @property {string} title
 * @property {(talk: Talk) => {path: string, headers?: Record<string, string>, body: Record<string, any>}} ask
 * @property {(event: any, whole: boolean) => Said} said
 * @property {boolean} [lines] a stream is lines of JSON, not events
 */

const set = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== ""));
const effort = (talk) => (talk.effort === "none" ? undefined : talk.effort);
const BUDGETS = { low: 1024, medium: 4096, high: 16384 };
const budget = (talk) => BUDGETS[talk.effort];
const wrong = (event) => (event.error ? { error: typeof event.error === "string" ? event.error : event.error.message ?? JSON.stringify(event.error) } : null);

/** @type {Record<string, Protocol>} */
export const PROTOCOLS = {
  openai_chat: {
    title: "OpenAI Chat",
    ask: (talk) => ({
      path: "/v1/chat/completions",
      body: set({
        model: talk.model,
        messages: [...(talk.system ? [{ role: "system", content: talk.system }] : []), ...talk.turns.map(({ role, text }) => ({ role, content: text }))],
        stream: talk.stream || undefined, stream_options: talk.stream ? { include_usage: true } : undefined,
        max_completion_tokens: talk.most, temperature: talk.temperature, reasoning_effort: effort(talk),
      }),
    }),
    said: (event, whole) => {
      const choice = event.choices?.[0];
      const part = (whole ? choice?.message : choice?.delta) ?? {};
      return wrong(event) ?? { text: part.content ?? undefined, thought: part.reasoning_content ?? part.reasoning ?? undefined, usage: event.usage ? { input: event.usage.prompt_tokens, output: event.usage.completion_tokens } : undefined };
    },
  },
  openai_responses: {
    title: "OpenAI Responses",
    ask: (talk) => ({
      path: "/v1/responses",
      body: set({
        model: talk.model, instructions: talk.system, input: talk.turns.map(({ role, text }) => ({ role, content: text })),
        stream: talk.stream || undefined, store: false, max_output_tokens: talk.most, temperature: talk.temperature,
        reasoning: effort(talk) && { effort: effort(talk), summary: "auto" },
      }),
    }),
    said: (event, whole) => {
      if (whole) return wrong(event) ?? { ...outputs(event.output ?? []), usage: tokens(event.usage) };
      switch (event.type) {
        case "response.output_text.delta": return { text: event.delta };
        case "response.reasoning_summary_text.delta":
        case "response.reasoning_text.delta": return { thought: event.delta };
        case "response.completed":
        case "response.incomplete": return { usage: tokens(event.response?.usage) };
        case "response.failed": return { error: event.response?.error?.message ?? "The response failed." };
        case "error": return { error: event.message ?? event.error?.message ?? "The stream broke." };
        default: return {};
      }
    },
  },
  anthropic: {
    title: "Anthropic Messages",
    ask: (talk) => ({
      path: "/v1/messages",
      headers: { "anthropic-version": "2023-06-01" },
      body: set({
        model: talk.model, max_tokens: (talk.most ?? 2048) + (budget(talk) ?? 0), system: talk.system,
        messages: talk.turns.map(({ role, text }) => ({ role, content: text })), stream: talk.stream || undefined,
        temperature: budget(talk) ? undefined : talk.temperature, thinking: budget(talk) && { type: "enabled", budget_tokens: budget(talk) },
      }),
    }),
    said: (event, whole) => {
      if (whole) return wrong(event) ?? { text: joined(event.content, "text"), thought: joined(event.content, "thinking"), usage: tokens(event.usage) };
      if (event.type === "error") return { error: event.error?.message ?? "The stream broke." };
      return { text: event.delta?.text, thought: event.delta?.thinking, usage: tokens(event.usage ?? event.message?.usage) };
    },
  },
  gemini: {
    title: "Gemini",
    ask: (talk) => ({
      path: `/v1beta/models/${encodeURIComponent(talk.model)}:${talk.stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
      body: set({
        systemInstruction: talk.system ? { parts: [{ text: talk.system }] } : undefined,
        contents: talk.turns.map(({ role, text }) => ({ role: role === "user" ? "user" : "model", parts: [{ text }] })),
        generationConfig: set({ maxOutputTokens: talk.most, temperature: talk.temperature, thinkingConfig: budget(talk) && { thinkingBudget: budget(talk), includeThoughts: true } }),
      }),
    }),
    said: (event) => {
      const parts = event.candidates?.[0]?.content?.parts ?? [];
      const text = (thought) => parts.filter((part) => Boolean(part.thought) === thought).map((part) => part.text ?? "").join("") || undefined;
      const used = event.usageMetadata;
      return wrong(event) ?? { text: text(false), thought: text(true), usage: used ? { input: used.promptTokenCount, output: used.candidatesTokenCount } : undefined };
    },
  },
  ollama: {
    title: "Ollama",
    lines: true,
    ask: (talk) => ({
      path: "/api/chat",
      body: set({
        model: talk.model, stream: talk.stream, think: effort(talk) ? true : undefined,
        messages: [...(talk.system ? [{ role: "system", content: talk.system }] : []), ...talk.turns.map(({ role, text }) => ({ role, content: text }))],
        options: set({ num_predict: talk.most, temperature: talk.temperature }),
      }),
    }),
    said: (event) => wrong(event) ?? { text: event.message?.content, thought: event.message?.thinking, usage: event.done ? { input: event.prompt_eval_count, output: event.eval_count } : undefined },
  },
};

const tokens = (usage) => (usage ? { input: usage.input_tokens, output: usage.output_tokens } : undefined);
const joined = (blocks, type) => (blocks ?? []).filter((block) => block.type === type).map((block) => block[type]).join("\n") || undefined;

function outputs(items) {
  const text = items.filter((item) => item.type === "message").flatMap((item) => item.content).map((part) => part.text ?? "").join("");
  const thought = items.filter((item) => item.type === "reasoning").flatMap((item) => item.summary ?? []).map((part) => part.text).join("\n");
  return { text: text || undefined, thought: thought || undefined };
}

/** The same request for a terminal. @param {string} origin @param {{path: string, headers?: Record<string, string>, body: any}} ask */
export function curl(origin, { path, headers, body }) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const all = { "content-type": "application/json", authorization: "Bearer KEY", ...headers };
  return [`curl ${quoted(origin + path)}`, ...Object.entries(all).map(([name, value]) => `  -H ${quoted(`${name}: ${value}`)}`), `  -d ${quoted(JSON.stringify(body))}`].join(" \\\n");
}

/**
 * What an answer says, piece by piece, out of its raw text.
 * @param {Protocol} protocol @param {boolean} stream
 */
export function reader(protocol, stream) {
  let rest = "";
  const event = (text) => {
    try {
      return protocol.said(JSON.parse(text), !stream);
    } catch {
      return {};
    }
  };
  const data = (block) => block.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
  return {
    /** @param {string} piece @returns {Said[]} */
    take(piece) {
      rest += piece;
      if (!stream) return [];
      const parts = rest.split(protocol.lines ? /\n/ : /\r?\n\r?\n/);
      rest = parts.pop() ?? "";
      return parts.map((part) => (protocol.lines ? part : data(part))).filter((text) => text && text !== "[DONE]").map(event);
    },
    /** @returns {Said[]} */
    end() {
      const last = stream && !protocol.lines ? data(rest) || rest : rest;
      return last.trim() ? [event(last)] : [];
    },
  };
}
