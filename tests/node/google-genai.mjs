// npm @google/genai.
import { GoogleGenAI } from "@google/genai";
import { gather, report, tool, url } from "./report.mjs";

const client = new GoogleGenAI({ apiKey: "test", httpOptions: { baseUrl: url } });
const user = (...parts) => ({ role: "user", parts });
const declared = { name: tool.name, description: tool.description, parametersJsonSchema: tool.schema };
const config = { tools: [{ functionDeclarations: [declared] }] };

await report({
  async text(model) {
    return (await client.models.generateContent({ model, contents: "say hello" })).text;
  },
  async stream(model) {
    return gather(await client.models.generateContentStream({ model, contents: "say hello" }), (chunk) => chunk.text);
  },
  async tools(model) {
    const contents = [user({ text: "What is the weather in Paris?" })];
    const parts = [];
    for await (const chunk of await client.models.generateContentStream({ model, contents, config })) {
      parts.push(...(chunk.candidates?.[0]?.content?.parts ?? []));
    }
    const { functionCall } = parts.find((part) => part.functionCall);
    const { id, name } = functionCall;
    contents.push({ role: "model", parts }, user({ functionResponse: { id, name, response: { output: "sunny" } } }));
    return { city: functionCall.args.city, text: (await client.models.generateContent({ model, contents, config })).text };
  },
});
