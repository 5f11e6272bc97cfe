// npm @google/genai.
import { GoogleGenAI } from "@google/genai";

export default function make(url) {
  const { models } = new GoogleGenAI({ apiKey: "test", httpOptions: { baseUrl: url } });
  return {
    ask: async (model, ask) => answer([await models.generateContent(body(model, ask))]),
    async stream(model, ask) {
      const chunks = [];
      for await (const chunk of await models.generateContentStream(body(model, ask))) chunks.push(chunk);
      return answer(chunks);
    },
    async *pieces(model, ask, signal) {
      const { config, ...rest } = body(model, ask);
      for await (const chunk of await models.generateContentStream({ ...rest, config: { ...config, abortSignal: signal } })) {
        if (chunk.text) yield chunk.text;
      }
    },
    count: async (model, ask) => (await models.countTokens({ model, contents: body(model, ask).contents })).totalTokens,
  };
}

function body(model, ask) {
  const declared = ask.tools.map(({ name, description, schema }) => ({ name, description, parametersJsonSchema: schema }));
  const config = {
    maxOutputTokens: ask.max_tokens,
    ...(ask.system !== null && { systemInstruction: ask.system }),
    ...((declared.length || ask.search) && { tools: [...(declared.length ? [{ functionDeclarations: declared }] : []), ...(ask.search ? [{ googleSearch: {} }] : [])] }),
    ...(ask.force && { toolConfig: { functionCallingConfig: { mode: "ANY", allowedFunctionNames: [ask.force] } } }),
    ...(ask.schema && { responseMimeType: "application/json", responseJsonSchema: ask.schema }),
    ...(ask.stop.length && { stopSequences: ask.stop }),
    ...(ask.think && { thinkingConfig: { includeThoughts: true, thinkingBudget: 2000 } }),
  };
  return { model, contents: ask.turns.map(content), config };
}

function content(turn) {
  switch (turn.kind) {
    case "User":
      return { role: "user", parts: parts(turn) };
    case "Said":
      return { role: "model", parts: [{ text: turn.text }] };
    case "Answer":
      return turn.native ?? { role: "model", parts: made(turn) };
    default:
      return { role: "user", parts: turn.results.map(result) };
  }
}

function made({ text, calls }) {
  const said = text ? [{ text }] : [];
  return [...said, ...calls.map(({ id, name, arguments: args }) => ({ functionCall: { ...(id && { id }), name, args } }))];
}

const inline = (mimeType, data) => ({ inlineData: { mimeType, data } });

const linked = ({ media_type, url }) => ({ fileData: { mimeType: media_type, fileUri: url } });

function parts({ text, image, pdf, video, link }) {
  return [
    { text },
    ...(image ? [inline("image/png", image)] : []),
    ...(pdf ? [inline("application/pdf", pdf)] : []),
    ...(video ? [inline("video/mp4", video)] : []),
    ...(link ? [linked(link)] : []),
  ];
}

function result({ call, text, image, error, link }) {
  const functionResponse = { name: call.name, response: { [error ? "error" : "output"]: text } };
  if (call.id) functionResponse.id = call.id;
  if (image) functionResponse.parts = [inline("image/png", image)];
  if (link) functionResponse.parts = [linked(link)];
  return { functionResponse };
}

function answer(chunks) {
  const parts = chunks.flatMap((chunk) => chunk.candidates?.[0]?.content?.parts ?? []);
  const reasons = chunks.map((chunk) => chunk.candidates?.[0]?.finishReason).filter(Boolean);
  if (reasons.length !== 1) throw new Error(`finish reasons: ${reasons}`);
  const usage = chunks.findLast((chunk) => chunk.usageMetadata)?.usageMetadata ?? {};
  const text = (thought) => parts.filter((part) => part.text && Boolean(part.thought) === thought).map((part) => part.text).join("");
  return {
    text: text(false),
    calls: parts.filter((part) => part.functionCall).map(({ functionCall: { id, name, args } }) => ({ id: id ?? "", name, arguments: args ?? {} })),
    reasoning: text(true),
    stop: reasons[0],
    input_tokens: usage.promptTokenCount ?? 0,
    output_tokens: (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0),
    prompt_tokens: usage.promptTokenCount ?? 0,
    cached_tokens: usage.cachedContentTokenCount ?? null,
    reasoning_tokens: usage.thoughtsTokenCount ?? null,
    sources: groundings(chunks).flatMap((grounding) => sources(grounding, text(false))),
    searches: groundings(chunks).flatMap((grounding) => grounding.webSearchQueries ?? []),
    native: { role: "model", parts },
  };
}

const groundings = (chunks) => chunks.map((chunk) => chunk.candidates?.[0]?.groundingMetadata).filter(Boolean);

// Offsets count bytes.
function sources({ groundingChunks, groundingSupports }, text) {
  const bytes = Buffer.from(text);
  return (groundingSupports ?? []).flatMap(({ segment, groundingChunkIndices }) =>
    groundingChunkIndices.map((index) => {
      const { uri, title } = groundingChunks[index].web;
      return [uri, title, bytes.subarray(segment.startIndex ?? 0, segment.endIndex).toString()];
    }),
  );
}
