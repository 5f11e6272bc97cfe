// npm openai, chat completions.
import OpenAI from "openai";
import { report, tool, url } from "./report.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "test", maxRetries: 0 });
const user = (content) => ({ role: "user", content });
const tools = [{ type: "function", function: { name: tool.name, description: tool.description, parameters: tool.schema } }];

await report({
  async text(model) {
    const { choices } = await client.chat.completions.create({ model, messages: [user("say hello")] });
    return choices[0].message.content;
  },
  async stream(model) {
    const run = client.chat.completions.stream({ model, messages: [user("say hello")] });
    return await run.finalContent();
  },
  async tools(model) {
    const messages = [user("What is the weather in Paris?")];
    const run = client.chat.completions.stream({ model, messages, tools });
    const { choices } = await run.finalChatCompletion();
    const [call] = choices[0].message.tool_calls;
    messages.push(choices[0].message, { role: "tool", tool_call_id: call.id, content: "sunny" });
    const last = await client.chat.completions.create({ model, messages, tools });
    return { city: JSON.parse(call.function.arguments).city, text: last.choices[0].message.content };
  },
});
