// npm @anthropic-ai/sdk.
import Anthropic from "@anthropic-ai/sdk";
import { report, tool, url } from "./report.mjs";

const client = new Anthropic({ baseURL: url, apiKey: "test", maxRetries: 0 });
const user = (content) => ({ role: "user", content });
const tools = [{ name: tool.name, description: tool.description, input_schema: tool.schema }];
const text = (message) => message.content.filter((block) => block.type === "text").map((block) => block.text).join("");

await report({
  async text(model) {
    return text(await client.messages.create({ model, max_tokens: 200, messages: [user("say hello")] }));
  },
  async stream(model) {
    return await client.messages.stream({ model, max_tokens: 200, messages: [user("say hello")] }).finalText();
  },
  async tools(model) {
    const messages = [user("What is the weather in Paris?")];
    const first = await client.messages.stream({ model, max_tokens: 200, messages, tools }).finalMessage();
    const call = first.content.find((block) => block.type === "tool_use");
    messages.push({ role: "assistant", content: first.content });
    messages.push(user([{ type: "tool_result", tool_use_id: call.id, content: "sunny" }]));
    return { city: call.input.city, text: text(await client.messages.create({ model, max_tokens: 200, messages, tools })) };
  },
});
