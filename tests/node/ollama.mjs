// npm ollama.
import { Ollama } from "ollama";
import { gather, report, tool, url } from "./report.mjs";

const client = new Ollama({ host: url });
const user = (content) => ({ role: "user", content });
const tools = [{ type: "function", function: { name: tool.name, description: tool.description, parameters: tool.schema } }];

await report({
  async text(model) {
    return (await client.chat({ model, messages: [user("say hello")] })).message.content;
  },
  async stream(model) {
    const lines = await client.chat({ model, messages: [user("say hello")], stream: true });
    return gather(lines, (line) => line.message.content);
  },
  async tools(model) {
    const messages = [user("What is the weather in Paris?")];
    const calls = [];
    for await (const line of await client.chat({ model, messages, tools, stream: true })) {
      calls.push(...(line.message.tool_calls ?? []));
    }
    messages.push({ role: "assistant", content: "", tool_calls: calls }, { role: "tool", tool_name: "weather", content: "sunny" });
    const last = await client.chat({ model, messages, tools });
    return { city: calls[0].function.arguments.city, text: last.message.content };
  },
});
