// npm openai, Responses: stateless, so that history goes along as items.
import OpenAI from "openai";

export default function make(url) {
  const { responses } = new OpenAI({ baseURL: `${url}/v1`, apiKey: "test", maxRetries: 0 });
  return {
    ask: async (model, ask) => answer(await responses.create(body(model, ask))),
    stream: async (model, ask) => answer(await responses.stream(body(model, ask)).finalResponse()),
    async *pieces(model, ask, signal) {
      for await (const event of await responses.create({ ...body(model, ask), stream: true }, { signal })) {
        if (event.type === "response.failed" || event.type === "error") throw new Error(JSON.stringify(event));
        if (event.type === "response.output_text.delta") yield event.delta;
      }
    },
    count: async (model, ask) => (await responses.inputTokens.count({ model, input: body(model, ask).input })).input_tokens,
  };
}

function body(model, ask) {
  const tools = ask.tools.map(({ name, description, schema }) => ({ type: "function", name, description, parameters: schema, strict: false }));
  if (ask.search) tools.push({ type: "web_search" });
  const format = { type: "json_schema", name: "person", schema: ask.schema, strict: true };
  return {
    model,
    input: ask.turns.flatMap(items),
    store: false,
    max_output_tokens: ask.max_tokens,
    ...(ask.system !== null && { instructions: ask.system }),
    ...(tools.length && { tools }),
    ...(ask.force && { tool_choice: { type: "function", name: ask.force } }),
    ...(ask.schema && { text: { format } }),
    ...(ask.think && { reasoning: { effort: "medium", summary: "auto" }, include: ["reasoning.encrypted_content"] }),
  };
}

function items(turn) {
  switch (turn.kind) {
    case "User":
      return [{ role: "user", content: content(turn) }];
    case "Said":
      return [{ role: "assistant", content: turn.text }];
    case "Answer":
      return turn.native ?? made(turn);
    default:
      return turn.results.map((result) => ({ type: "function_call_output", call_id: result.call.id, output: output(result) }));
  }
}

function made({ text, calls }) {
  const said = text ? [{ role: "assistant", content: text }] : [];
  return [...said, ...calls.map(({ id, name, arguments: args }) => ({ type: "function_call", call_id: id, name, arguments: JSON.stringify(args) }))];
}

const picture = (png) => ({ type: "input_image", image_url: `data:image/png;base64,${png}`, detail: "auto" });

function linked({ media_type, url }) {
  if (media_type === "application/pdf") return { type: "input_file", file_url: url };
  return { type: "input_image", image_url: url, detail: "auto" };
}

function content({ text, image, pdf, link }) {
  if (!image && !pdf && !link) return text;
  const parts = [{ type: "input_text", text }];
  if (image) parts.push(picture(image));
  if (pdf) parts.push({ type: "input_file", filename: "paper.pdf", file_data: `data:application/pdf;base64,${pdf}` });
  if (link) parts.push(linked(link));
  return parts;
}

const output = ({ text, image, link }) => content({ text, image, link });

function answer({ output, output_text, status, incomplete_details, error, usage }) {
  if (status === "failed") throw new Error(JSON.stringify(error));
  return {
    text: output_text,
    calls: output.filter((item) => item.type === "function_call").map((item) => ({ id: item.call_id, name: item.name, arguments: JSON.parse(item.arguments) })),
    reasoning: output.filter((item) => item.type === "reasoning").flatMap((item) => item.summary.map((part) => part.text)).join(""),
    stop: incomplete_details ? `${status}: ${incomplete_details.reason}` : status,
    input_tokens: usage.input_tokens,
    output_tokens: usage.output_tokens,
    prompt_tokens: usage.input_tokens,
    cached_tokens: usage.input_tokens_details?.cached_tokens ?? null,
    reasoning_tokens: usage.output_tokens_details?.reasoning_tokens ?? null,
    sources: output.flatMap((item) => item.content ?? []).flatMap(({ text, annotations }) => (annotations ?? []).map((a) => [a.url, a.title, text.slice(a.start_index, a.end_index)])),
    searches: output.filter((item) => item.type === "web_search_call").map((item) => item.action.query),
    native: output,
  };
}
