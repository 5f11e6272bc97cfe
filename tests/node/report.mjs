// What every client script shares: run the cases for each model, print one JSON object, end with 1 when one failed.
//
// Arguments: <url> <model>... . A case is (model) => value; its value or the text of its error is printed.

export const [url, ...models] = process.argv.slice(2);

export const tool = {
  name: "weather",
  description: "Tells the weather of a city.",
  schema: { type: "object", properties: { city: { type: "string" }, note: { type: "string" } }, required: ["city"] },
};

export async function report(cases) {
  const all = {};
  for (const model of models) {
    all[model] = {};
    for (const [name, run] of Object.entries(cases)) {
      try {
        all[model][name] = await run(model);
      } catch (error) {
        all[model][name] = { error: `${error?.name}: ${error?.message}`, stack: String(error?.stack).split("\n").slice(0, 4) };
      }
    }
  }
  console.log(JSON.stringify(all));
}

export async function gather(iterable, pick) {
  let text = "";
  for await (const item of iterable) text += pick(item) ?? "";
  return text;
}
