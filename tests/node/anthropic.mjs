// npm @anthropic-ai/sdk.
import Anthropic from "@anthropic-ai/sdk";

export default function make(url) {
  const { messages } = new Anthropic({ baseURL: url, apiKey: "test", maxRetries: 0 });
  return {
    ask: async (model, ask) => answer(await messages.create(body(model, ask))),
    stream: async (model, ask) => answer(await messages.stream(body(model, ask)).finalMessage()),
    async *pieces(model, ask, signal) {
      for await (const event of await messages.create({ ...body(model, ask), stream: true }, { signal })) {
        if (event.type === "content_block_delta" && event.delta.type === "text_delta") yield event.delta.text;
      }
    },
    async count(model, ask) {
      const { max_tokens, ...counted } = body(model, ask);
      return (await messages.countTokens(counted)).input_tokens;
    },
  };
}

function body(model, ask) {
  const tools = ask.tools.map(({ name, description, schema }) => ({ name, description, input_schema: schema }));
  if (ask.search) tools.push({ type: "web_search_20250305", name: "web_search" });
  return {
    model,
    messages: ask.turns.map(message),
    max_tokens: ask.max_tokens,
    ...(ask.system !== null && { system: ask.system }),
    ...(tools.length && { tools }),
    ...(ask.force && { tool_choice: { type: "tool", name: ask.force } }),
    ...(ask.schema && { output_config: { format: { type: "json_schema", schema: ask.schema } } }),
    ...(ask.stop.length && { stop_sequences: ask.stop }),
    ...(ask.think && { thinking: { type: "enabled", budget_tokens: 2000 } }),
  };
}

function message(turn) {
  switch (turn.kind) {
    case "User":
      return { role: "user", content: content(turn) };
    case "Said":
      return { role: "assistant", content: turn.text };
    case "Answer":
      return { role: "assistant", content: turn.native ?? made(turn) };
    default:
      return { role: "user", content: turn.results.map(result) };
  }
}

function made({ text, calls }) {
  const said = text ? [{ type: "text", text }] : [];
  return [...said, ...calls.map(({ id, name, arguments: input }) => ({ type: "tool_use", id, name, input }))];
}

const inline = (type, media_type, data) => ({ type, source: { type: "base64", media_type, data } });

const linked = ({ media_type, url }) => ({ type: media_type === "application/pdf" ? "document" : "image", source: { type: "url", url } });

function content({ text, image, pdf, link }) {
  if (!image && !pdf && !link) return text;
  const blocks = [{ type: "text", text }];
  if (image) blocks.push(inline("image", "image/png", image));
  if (pdf) blocks.push(inline("document", "application/pdf", pdf));
  if (link) blocks.push(linked(link));
  return blocks;
}

function result({ call, text, image, error, link }) {
  return { type: "tool_result", tool_use_id: call.id, content: content({ text, image, link }), is_error: error };
}

function answer({ content, stop_reason, usage }) {
  const texts = (type, field) => content.filter((block) => block.type === type).map((block) => block[field]).join("");
  return {
    text: texts("text", "text"),
    calls: content.filter((block) => block.type === "tool_use").map(({ id, name, input }) => ({ id, name, arguments: input })),
    reasoning: texts("thinking", "thinking"),
    stop: stop_reason,
    input_tokens: usage.input_tokens,
    output_tokens: usage.output_tokens,
    prompt_tokens: usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0),
    cached_tokens: usage.cache_read_input_tokens ?? 0,
    reasoning_tokens: usage.output_tokens_details?.thinking_tokens ?? null,
    sources: content.flatMap((block) => (block.citations ?? []).map(({ url, title }) => [url, title, block.text])),
    searches: content.filter((block) => block.type === "server_tool_use").map(({ input }) => input.query),
    native: content,
  };
}
