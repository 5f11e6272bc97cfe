// npm ai with one of its providers, chosen by AI_PROVIDER. Its own loop calls the tool and asks again.
import { generateText, jsonSchema, stepCountIs, streamText, tool as define } from "ai";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { report, tool, url } from "./report.mjs";

const providers = {
  openai: () => createOpenAI({ baseURL: `${url}/v1`, apiKey: "test" }),
  "openai-compatible": () => createOpenAICompatible({ name: "mux", baseURL: `${url}/v1`, apiKey: "test", includeUsage: true }),
  anthropic: () => createAnthropic({ baseURL: `${url}/v1`, apiKey: "test" }),
  google: () => createGoogleGenerativeAI({ baseURL: `${url}/v1beta`, apiKey: "test" }),
};
const provider = providers[process.env.AI_PROVIDER]();
const common = { maxRetries: 0, onError: () => {} };

function weather(cities) {
  return define({
    description: tool.description,
    inputSchema: jsonSchema(tool.schema),
    execute: async ({ city }) => {
      cities.push(city);
      return "sunny";
    },
  });
}

async function loop(run, model) {
  const cities = [];
  const prompt = "What is the weather in Paris?";
  const done = run({ ...common, model: provider(model), prompt, tools: { weather: weather(cities) }, stopWhen: stepCountIs(3) });
  return { text: await (await done).text, city: cities.join() };
}

await report({
  async text(model) {
    return (await generateText({ ...common, model: provider(model), prompt: "say hello" })).text;
  },
  async stream(model) {
    return await streamText({ ...common, model: provider(model), prompt: "say hello" }).text;
  },
  async tools(model) {
    return loop(streamText, model);
  },
  async tools_whole(model) {
    return loop(generateText, model);
  },
});
