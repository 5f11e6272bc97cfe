// A scripted model behind every protocol of @copilotkit/aimock, told by the user's words what to do.
//
// Usage: node aimock.mjs <node_modules>. Prints {"url": ...} on one line and lives until its input ends.
// GET /seen gives the requests as they arrived on the wire (path, headers, body, left: the client went before the end),
// GET /seen/left waits until one has left.

import { EventEmitter, once } from "node:events";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.join(process.argv[2], "..", "package.json"));
const { LLMock } = await import(pathToFileURL(require.resolve("@copilotkit/aimock")).href);

const USAGE = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 };
const LONG = Array.from({ length: 200 }, (_, line) => `Line ${line}: the quick brown fox, naïve café, 東京.`).join("\n");
const ERROR_TYPES = { 400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error" };

const text = (content) =>
  typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join("");
const results = (request) => request.messages.slice(decide(request).at + 1).filter((message) => message.role === "tool");
const system = (request) =>
  request.messages.filter((message) => message.role === "system").map((message) => text(message.content)).join("\n");
const has = (request, name) => (request.tools ?? []).some((tool) => tool.function.name === name);
const takes = (request, name, field) =>
  (request.tools ?? []).some((tool) => tool.function.name === name && tool.function.parameters?.properties?.[field]);
const call = (name, args) => ({ name, arguments: JSON.stringify(args) });
const told = (request) => results(request).map((message) => text(message.content)).join(" + ");

// Each rule: what the user says, what the model does, how it is sent. The newest user message that has a rule decides.
const RULES = [
  [/say hello/i, () => ({ content: "Hello from the other side.", usage: USAGE })],
  [/repeat your instructions/i, (request) => ({ content: system(request) || "(none)" })],
  [/list the turns/i, (request) => ({ content: turns(request) })],
  [/weather in both (\w+) and (\w+)/i, (request, [, first, second]) =>
    results(request).length
      ? { content: `The tools said: ${told(request)}` }
      : { toolCalls: [call("weather", { city: first }), call("weather", { city: second })], usage: USAGE }],
  [/think, then ask for the weather in (\w+)/i, (request, [, city]) =>
    results(request).length
      ? { reasoning: "Now I know.", content: `The tool said: ${told(request)}`, usage: USAGE }
      : { reasoning: "I need the weather.", toolCalls: [call("weather", { city })], usage: USAGE }],
  [/weather in (\w+)/i, (request, [, city]) =>
    results(request).length
      ? { content: `The tool said: ${told(request)}`, usage: USAGE }
      : { toolCalls: [call("weather", { city, note: "naïve café" })], usage: USAGE }],
  [/answer as JSON/i, () => ({ content: JSON.stringify({ name: "Ada", age: 36 }) })],
  [/think about it/i, () => ({ reasoning: "First I consider the question.", content: "It is 42.", usage: USAGE })],
  [/describe the (image|document)/i, (_, [, what]) => ({ content: `I have the ${what.toLowerCase()}.` })],
  [/stop early/i, () => ({ content: "This is cut", finishReason: "length", usage: USAGE })],
  [/write at length/i, () => ({ content: LONG, usage: USAGE })],
  [/answer slowly/i, () => ({ content: LONG }), { streamingProfile: { ttft: 1, tps: 20 }, chunkSize: 8 }],
  [/break off/i, () => ({ content: LONG }), { truncateAfterChunks: 20, chunkSize: 8 }],
  [/fail with (\d+)/i, (_, [, status]) => ({
    status: Number(status),
    error: { message: `scripted failure ${status}`, type: ERROR_TYPES[status] ?? "server_error" },
  })],
  [/create the file (\S+) with the word (\w+)/i, createFile],
];

function turns(request) {
  return request.messages
    .filter((message) => message.role !== "system")
    .map((message) => `${message.role}: ${text(message.content)}`)
    .join(" | ");
}

// The file-writing tool of whichever coding tool asks.
function createFile(request, [, file, word]) {
  if (results(request).length) return { content: `I created ${file}.`, usage: USAGE };
  const command = `printf '%s\\n' ${word} > ${file}`;
  const tools = {
    Write: { [takes(request, "Write", "filepath") ? "filepath" : "file_path"]: file, content: `${word}\n` },
    write: { filePath: file, content: `${word}\n` },
    editor: { path: file, new_text: `${word}\n` },
    write_file: { file_path: file, content: `${word}\n` },
    exec_command: { cmd: command },
    shell_command: { command },
    shell: { command: ["bash", "-c", command] },
    run_shell_command: { command },
  };
  const name = Object.keys(tools).find((tool) => has(request, tool));
  if (!name) return { content: `No tool to write with among ${(request.tools ?? []).map((tool) => tool.function.name)}` };
  return { toolCalls: [call(name, tools[name])], usage: USAGE };
}

function decide(request) {
  const messages = request.messages ?? [];
  for (let at = messages.length - 1; at >= 0; at--) {
    if (messages[at].role !== "user") continue;
    for (const rule of RULES) {
      const match = rule[0].exec(text(messages[at].content));
      if (match) return { rule, match, at };
    }
  }
  return { rule: null, match: null, at: -1 };
}

const mock = new LLMock({ port: 0, host: "127.0.0.1", logLevel: "silent" });

// The mock ends a Gemini tool call with FUNCTION_CALL, a reason that Gemini does not have.
function answer(request) {
  const { rule, match } = decide(request);
  const made = rule[1](request, match);
  return made.toolCalls && request.model.startsWith("gemini") ? { ...made, finishReason: "stop" } : made;
}

for (const rule of RULES) mock.on({ predicate: (request) => decide(request).rule === rule }, answer, rule[2]);
mock.onEmbedding(/./, { embedding: [0.25, -0.5, 0.125] });
mock.on({ predicate: (request) => decide(request).rule === null }, { content: "I have no rule for that." });

const seen = [];
const departures = new EventEmitter();
mock.mount("/seen", {
  async handleRequest(request, response, pathname) {
    if (request.method === "DELETE") seen.length = 0;
    if (pathname.endsWith("/left") && !seen.some((entry) => entry.left)) await once(departures, "left");
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(seen));
    return true;
  },
});
const url = await mock.start();
mock.serverInstance.server.prependListener("request", (request, response) => {
  if (request.url.startsWith("/seen")) return;
  const entry = { method: request.method, path: request.url, headers: request.headers, body: "", left: false };
  seen.push(entry);
  const pieces = [];
  const emit = request.emit;
  request.emit = function (event, ...args) {
    if (event === "data") pieces.push(Buffer.from(args[0]));
    if (event === "end") entry.body = Buffer.concat(pieces).toString("utf8");
    return emit.call(this, event, ...args);
  };
  response.on("close", () => {
    entry.left = !response.writableFinished;
    if (entry.left) departures.emit("left");
  });
});

console.log(JSON.stringify({ url }));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
