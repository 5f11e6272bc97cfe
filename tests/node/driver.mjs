// The official JavaScript SDKs behind a pipe: each line of JSON on stdin asks one of them something, lines on stdout answer.
//
// Usage: node driver.mjs <url>. {"id", "op": "ask" | "stream" | "count" | ..., "client", "model", "ask"} is answered by one
// {"id", "answer"}; "pieces" by {"id", "piece"} for each piece of text and {"id", "answer": null} at the end, until
// {"op": "leave", "id"} closes it. An exception of the SDK is {"id", "error"}. `ask` is conversation.py's Ask.
import { createInterface } from "node:readline";

const url = process.argv[2];
const clients = new Map();
const leaving = new Map();

async function client(name) {
  if (!clients.has(name)) {
    const [file, provider] = name.split(" ");
    const { default: make } = await import(`./${file}.mjs`);
    clients.set(name, make(url, provider));
  }
  return clients.get(name);
}

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function told(error) {
  const status = [error?.status, error?.statusCode, error?.status_code].find(Number.isInteger);
  const told = [error?.message, error?.code, error?.responseBody].filter(Boolean);
  return { name: String(error?.name), message: told.join(" "), status: status ?? null, code: typeof error?.code === "string" ? error.code : null };
}

async function pieces(id, found, { model, ask }) {
  const controller = new AbortController();
  leaving.set(id, controller);
  try {
    for await (const piece of found.pieces(model, ask, controller.signal)) say({ id, piece });
  } finally {
    leaving.delete(id);
  }
  return null;
}

async function take({ id, op, client: name, model, ask }) {
  if (op === "leave") return leaving.get(id)?.abort();
  try {
    const found = await client(name);
    const answer = op === "pieces" ? await pieces(id, found, { model, ask }) : await found[op](model, ask);
    say({ id, answer });
  } catch (error) {
    say({ id, error: told(error) });
  }
}

// The AI SDK rejects promises that nobody waits for; the first error is what counts.
process.on("unhandledRejection", () => {});
createInterface({ input: process.stdin })
  .on("line", (line) => take(JSON.parse(line)))
  .on("close", () => process.exit(0));
