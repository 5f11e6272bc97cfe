// SDKs asked by the path of a method and its arguments, for what `ask` cannot say: `model` is "sdk path", `ask` the arguments.
//
// A stream is answered as the list of its events. "pieces" opens a websocket of the Responses API, "send" sends on it.
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { GoogleGenAI } from "@google/genai";
import { Ollama } from "ollama";

export default function make(url) {
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "test", maxRetries: 0 });
  const google = new GoogleGenAI({ apiKey: "test", httpOptions: { baseUrl: url } });
  const sdks = { openai, google, ollama: new Ollama({ host: url }) };
  let socket;
  return {
    async call(path, args) {
      const [sdk, ...names] = path.split(/[ .]/);
      const owner = names.slice(0, -1).reduce((found, name) => found[name], sdks[sdk]);
      const answer = await owner[names.at(-1)](...args);
      if (answer?.data && answer.object === "list") return answer.data;
      return answer?.[Symbol.asyncIterator] ? Array.fromAsync(answer) : (answer ?? null);
    },
    async *pieces(_, __, signal) {
      socket = new ResponsesWS(openai);
      signal.addEventListener("abort", () => socket.close());
      yield { type: "made" };
      for await (const event of socket.stream()) {
        if (event.type === "message") yield event.message;
        if (event.type === "error") yield { type: "error", ...event.error.error };
        if (event.type === "close") return;
      }
    },
    send: async (_, message) => socket.send(message) ?? null,
  };
}
