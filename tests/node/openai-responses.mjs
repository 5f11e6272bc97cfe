// npm openai, Responses.
import OpenAI from "openai";
import { report, tool, url } from "./report.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "test", maxRetries: 0 });
const tools = [{ type: "function", name: tool.name, description: tool.description, parameters: tool.schema, strict: false }];

await report({
  async text(model) {
    const response = await client.responses.create({ model, input: "say hello" });
    return response.output_text;
  },
  async stream(model) {
    const response = await client.responses.stream({ model, input: "say hello" }).finalResponse();
    return response.output_text;
  },
  async tools(model) {
    const input = [{ role: "user", content: "What is the weather in Paris?" }];
    const first = await client.responses.stream({ model, input, tools, store: false }).finalResponse();
    const call = first.output.find((item) => item.type === "function_call");
    input.push(...first.output, { type: "function_call_output", call_id: call.call_id, output: "sunny" });
    const last = await client.responses.create({ model, input, tools, store: false });
    return { city: JSON.parse(call.arguments).city, text: last.output_text };
  },
});
