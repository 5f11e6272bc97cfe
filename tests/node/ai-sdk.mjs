// npm ai with one of its providers.
import { generateText, isStepCount, jsonSchema, Output, streamText, tool as define } from "ai";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";

globalThis.AI_SDK_LOG_WARNINGS = false;

const PROVIDERS = {
  openai: (url) => createOpenAI({ baseURL: `${url}/v1`, apiKey: "test" }),
  "openai-compatible": (url) => createOpenAICompatible({ name: "mux", baseURL: `${url}/v1`, apiKey: "test", includeUsage: true, supportsStructuredOutputs: true, supportedUrls: () => ({ "image/*": [/^https?:/] }) }),
  anthropic: (url) => createAnthropic({ baseURL: `${url}/v1`, apiKey: "test" }),
  google: (url) => createGoogleGenerativeAI({ baseURL: `${url}/v1beta`, apiKey: "test" }),
};

const NATIVE_SCHEMAS = { structuredOutputMode: "outputFormat" };
const STATELESS = { store: false, include: ["reasoning.encrypted_content"] };

const SEARCHES = {
  openai: (provider) => provider.tools.webSearch({}),
  anthropic: (provider) => provider.tools.webSearch_20250305({}),
  google: (provider) => provider.tools.googleSearch({}),
};

// How each provider is told to think and to show it.
const THINKING = {
  openai: { openai: { ...STATELESS, reasoningEffort: "medium", reasoningSummary: "auto", forceReasoning: true } },
  "openai-compatible": { mux: { reasoningEffort: "medium" } },
  anthropic: { anthropic: { thinking: { type: "enabled", budgetTokens: 2000 } } },
  google: { google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 2000 } } },
};

export default function make(url, name) {
  const provider = PROVIDERS[name](url);
  const asked = (model, ask) => body(provider(model), name, ask, provider);
  return {
    ask: async (model, ask) => answer(await generateText(asked(model, ask))),
    async stream(model, ask) {
      const result = streamText({ ...asked(model, ask), onError() {} });
      for await (const part of result.fullStream) if (part.type === "error") throw part.error;
      const names = ["text", "toolCalls", "reasoningText", "finishReason", "usage", "responseMessages", "sources"];
      const values = await Promise.all(names.map((each) => result[each]));
      return answer(Object.fromEntries(names.map((each, index) => [each, values[index]])));
    },
    // The SDK's own loop calls the tool and asks again.
    async loop(model, ask) {
      const cities = [];
      const execute = ({ city }) => cities.push(city) && "sunny";
      const [{ name, description, schema }] = ask.tools;
      const tools = { [name]: define({ description, inputSchema: jsonSchema(schema), execute }) };
      const wanted = { ...asked(model, ask), tools, stopWhen: isStepCount(3), onError() {} };
      const [whole, streamed] = [await generateText(wanted), await streamText(wanted).text];
      return { cities, texts: [whole.text, streamed] };
    },
    async *pieces(model, ask, signal) {
      const result = streamText({ ...asked(model, ask), abortSignal: signal, onError() {} });
      for await (const part of result.fullStream) {
        if (part.type === "error") throw part.error;
        if (part.type === "text-delta") yield part.text;
      }
    },
  };
}

function body(model, name, ask, provider) {
  const tools = ask.tools.map(({ name, description, schema }) => [name, define({ description, inputSchema: jsonSchema(schema) })]);
  if (ask.search) tools.push([name === "google" ? "google_search" : "web_search", SEARCHES[name](provider)]);
  return {
    model,
    maxRetries: 0,
    maxOutputTokens: ask.max_tokens,
    ...(ask.stop.length && { stopSequences: ask.stop }),
    messages: ask.turns.flatMap(messages),
    ...(ask.system !== null && { instructions: ask.system }),
    ...(tools.length && { tools: Object.fromEntries(tools) }),
    ...(ask.force && { toolChoice: { type: "tool", toolName: ask.force } }),
    ...(ask.schema && { output: Output.object({ schema: jsonSchema(ask.schema) }) }),
    providerOptions: ask.think ? THINKING[name] : { openai: STATELESS, anthropic: NATIVE_SCHEMAS },
  };
}

function messages(turn) {
  switch (turn.kind) {
    case "User":
      return [{ role: "user", content: content(turn) }];
    case "Said":
      return [{ role: "assistant", content: turn.text }];
    case "Answer":
      return turn.native ?? [{ role: "assistant", content: made(turn) }];
    default:
      return [{ role: "tool", content: turn.results.map(result) }];
  }
}

function made({ text, calls }) {
  const said = text ? [{ type: "text", text }] : [];
  return [...said, ...calls.map(({ id, name, arguments: input }) => ({ type: "tool-call", toolCallId: id, toolName: name, input }))];
}

const file = (mediaType, data) => ({ type: "file", mediaType, data: { type: "data", data } });

function content({ text, image, pdf, video, link }) {
  return [
    { type: "text", text },
    ...(image ? [file("image/png", image)] : []),
    ...(pdf ? [{ ...file("application/pdf", pdf), filename: "paper.pdf" }] : []),
    ...(video ? [file("video/mp4", video)] : []),
    ...(link ? [{ type: "file", mediaType: link.media_type, data: { type: "url", url: new URL(link.url) } }] : []),
  ];
}

function result({ call, text, image, error }) {
  const output = image ? { type: "content", value: content({ text, image }) } : { type: error ? "error-text" : "text", value: text };
  return { type: "tool-result", toolCallId: call.id, toolName: call.name, output };
}

function answer({ text, toolCalls, reasoningText, finishReason, usage, responseMessages, sources }) {
  return {
    text,
    calls: toolCalls.filter((call) => !call.providerExecuted).map((call) => ({ id: call.toolCallId, name: call.toolName, arguments: call.input })),
    reasoning: reasoningText ?? "",
    stop: finishReason,
    input_tokens: usage.inputTokens ?? 0,
    output_tokens: usage.outputTokens ?? 0,
    prompt_tokens: usage.inputTokens ?? 0,
    cached_tokens: usage.inputTokenDetails?.cacheReadTokens ?? null,
    reasoning_tokens: usage.outputTokenDetails?.reasoningTokens ?? null,
    sources: sources.filter((each) => each.sourceType === "url").map(({ url, title }) => [url, title ?? "", ""]),
    native: responseMessages,
  };
}
