// npm ollama.
import { Ollama } from "ollama";

export default function make(url) {
  const client = new Ollama({ host: url });
  return {
    ask: async (model, ask) => answer([await client.chat(body(model, ask))]),
    async stream(model, ask) {
      const lines = [];
      for await (const line of await client.chat({ ...body(model, ask), stream: true })) lines.push(line);
      return answer(lines);
    },
    async *pieces(model, ask, signal) {
      const lines = await client.chat({ ...body(model, ask), stream: true });
      signal.addEventListener("abort", () => lines.abort());
      for await (const line of lines) if (line.message.content) yield line.message.content;
    },
  };
}

function body(model, ask) {
  const system = ask.system === null ? [] : [{ role: "system", content: ask.system }];
  const tools = ask.tools.map(({ name, description, schema }) => ({ type: "function", function: { name, description, parameters: schema } }));
  return {
    model,
    messages: [...system, ...ask.turns.flatMap(messages)],
    options: { num_predict: ask.max_tokens, ...(ask.stop.length && { stop: ask.stop }) },
    ...(tools.length && { tools }),
    ...(ask.schema && { format: ask.schema }),
    ...(ask.think && { think: true }),
  };
}

function messages(turn) {
  switch (turn.kind) {
    case "User":
      return [{ role: "user", content: turn.text, ...(turn.image && { images: [turn.image] }) }];
    case "Said":
      return [{ role: "assistant", content: turn.text }];
    case "Answer":
      return [turn.native ?? made(turn)];
    default:
      return turn.results.map((result) => ({ role: "tool", tool_name: result.call.name, content: result.text }));
  }
}

function made({ text, calls }) {
  const tool_calls = calls.map(({ name, arguments: args }) => ({ function: { name, arguments: args } }));
  return { role: "assistant", content: text, ...(calls.length && { tool_calls }) };
}

function answer(lines) {
  const joined = (field) => lines.map((line) => line.message[field] ?? "").join("");
  const tool_calls = lines.flatMap((line) => line.message.tool_calls ?? []);
  const last = lines.at(-1);
  if (!last?.done || lines.filter((line) => line.done).length !== 1) throw new Error("the stream has no end or several");
  const [content, thinking] = [joined("content"), joined("thinking")];
  return {
    text: content,
    calls: tool_calls.map((call) => ({ id: "", name: call.function.name, arguments: call.function.arguments })),
    reasoning: thinking,
    stop: last.done_reason,
    input_tokens: last.prompt_eval_count ?? 0,
    output_tokens: last.eval_count ?? 0,
    prompt_tokens: last.prompt_eval_count ?? 0,
    native: { role: "assistant", content, ...(thinking && { thinking }), ...(tool_calls.length && { tool_calls }) },
  };
}
