// npm openai, chat completions.
import OpenAI from "openai";

export default function make(url) {
  const { completions } = new OpenAI({ baseURL: `${url}/v1`, apiKey: "test", maxRetries: 0 }).chat;
  return {
    async ask(model, ask) {
      const completion = await completions.create(body(model, ask));
      return answer(completion, thought(completion.choices[0].message));
    },
    async stream(model, ask) {
      const thoughts = [];
      const run = completions.stream({ ...body(model, ask), stream_options: { include_usage: true } });
      run.on("chunk", (chunk) => thoughts.push(thought(chunk.choices[0]?.delta)));
      return answer(await run.finalChatCompletion(), thoughts.join(""));
    },
    async *pieces(model, ask, signal) {
      for await (const chunk of await completions.create({ ...body(model, ask), stream: true }, { signal })) {
        if (chunk.choices[0]?.delta.content) yield chunk.choices[0].delta.content;
      }
    },
  };
}

// Servers spell it either way.
const thought = (message) => message?.reasoning_content ?? message?.reasoning ?? "";

function body(model, ask) {
  const system = ask.system === null ? [] : [{ role: "system", content: ask.system }];
  const tools = ask.tools.map(({ name, description, schema }) => ({ type: "function", function: { name, description, parameters: schema } }));
  const format = { type: "json_schema", json_schema: { name: "person", schema: ask.schema, strict: true } };
  return {
    model,
    messages: [...system, ...ask.turns.flatMap(messages)],
    max_completion_tokens: ask.max_tokens,
    ...(tools.length && { tools }),
    ...(ask.force && { tool_choice: { type: "function", function: { name: ask.force } } }),
    ...(ask.schema && { response_format: format }),
    ...(ask.stop.length && { stop: ask.stop }),
    ...(ask.search && { web_search_options: {} }),
    ...(ask.think && { reasoning_effort: "medium" }),
  };
}

function messages(turn) {
  switch (turn.kind) {
    case "User":
      return [{ role: "user", content: content(turn) }];
    case "Said":
      return [{ role: "assistant", content: turn.text }];
    case "Answer":
      return [turn.native ?? made(turn)];
    default:
      return turn.results.map((result) => ({ role: "tool", tool_call_id: result.call.id, content: result.text }));
  }
}

function made({ text, calls }) {
  const tool_calls = calls.map(({ id, name, arguments: args }) => ({ id, type: "function", function: { name, arguments: JSON.stringify(args) } }));
  return { role: "assistant", content: text || null, ...(calls.length && { tool_calls }) };
}

function content({ text, image, pdf, link }) {
  if (!image && !pdf && !link) return text;
  const parts = [{ type: "text", text }];
  if (image) parts.push({ type: "image_url", image_url: { url: `data:image/png;base64,${image}` } });
  if (pdf) parts.push({ type: "file", file: { filename: "paper.pdf", file_data: `data:application/pdf;base64,${pdf}` } });
  if (link) parts.push({ type: "image_url", image_url: { url: link.url } });
  return parts;
}

function answer({ choices: [{ message, finish_reason }], usage }, reasoning) {
  const { parsed, ...kept } = message;
  const tool_calls = message.tool_calls?.map(({ function: { name, arguments: args }, ...rest }) => ({ ...rest, function: { name, arguments: args } }));
  return {
    text: message.content ?? "",
    calls: (tool_calls ?? []).map((call) => ({ id: call.id, name: call.function.name, arguments: JSON.parse(call.function.arguments) })),
    reasoning,
    stop: finish_reason,
    input_tokens: usage.prompt_tokens,
    output_tokens: usage.completion_tokens,
    prompt_tokens: usage.prompt_tokens,
    cached_tokens: usage.prompt_tokens_details?.cached_tokens ?? null,
    reasoning_tokens: usage.completion_tokens_details?.reasoning_tokens ?? null,
    sources: (message.annotations ?? []).map(({ url_citation: c }) => [c.url, c.title, message.content.slice(c.start_index, c.end_index)]),
    // The stream helper keeps the last piece of what it does not know, so the thoughts are put in whole.
    native: { ...kept, ...(reasoning && { reasoning_content: reasoning }), ...(tool_calls && { tool_calls }) },
  };
}
