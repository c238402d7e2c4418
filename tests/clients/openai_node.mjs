// Uses OpenAI's package for Node.js. Prints what comes of it, one JSON a line.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.CHAT_URL}/v1`, apiKey: process.env.API_KEY, maxRetries: 0 });
const request = { model: "test-model", messages: [{ role: "user", content: "Hi" }] };
const image = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } };
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const print = (value) => console.log(JSON.stringify(value));

async function failure(work) {
  try {
    await work();
  } catch (error) {
    const { status, code, param, type } = error;
    print({ kind: error.constructor.name, status, code, param, type, message: error.message });
  }
}

const scenarios = {
  async answers() {
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    print(models);
    print((await client.models.retrieve("org/other")).id);
    print((await client.chat.completions.create(request)).choices[0].message);
    const { data, response } = await client.chat.completions.create({ ...request, stream: true }).withResponse();
    const parts = [];
    for await (const chunk of data) parts.push(chunk.choices[0]?.delta.content ?? "");
    print({ text: parts.join(""), turn: response.headers.get("x-turn-id") });
    await client.chat.completions.create({ ...request, messages: [{ role: "user", content: [image] }] });
  },

  async tools() {
    const stream = client.chat.completions.stream({ ...request, tools });
    print((await stream.finalChatCompletion()).choices[0].message.tool_calls);
    print((await client.chat.completions.create({ ...request, tools })).choices[0].message.tool_calls);
  },

  async choices() {
    const stream = client.chat.completions.stream({ ...request, n: 2 });
    print((await stream.finalChatCompletion()).choices.map((choice) => choice.message.content));
  },

  async responses() {
    const stream = client.responses.stream({ model: "test-model", input: "Hi" });
    const events = [];
    for await (const event of stream) events.push(event.type);
    const first = await stream.finalResponse();
    print({ text: first.output_text, status: first.status, last: events.at(-1) });
    const again = [];
    const replay = await client.responses.retrieve(first.id, { stream: true, starting_after: 2 });
    for await (const event of replay) again.push(event.type);
    print(JSON.stringify(again) === JSON.stringify(events.slice(3)));
    const conversation = await client.conversations.create({ metadata: { topic: "greetings" } });
    const asked = { model: "test-model", input: "Hi again", conversation: conversation.id };
    print((await client.responses.create(asked)).output_text);
    const roles = [];
    for await (const item of client.conversations.items.list(conversation.id, { order: "asc" })) roles.push(item.role);
    print(roles);
    const tool = { type: "function", name: "weather", parameters: { type: "object" }, strict: false };
    const chained = { model: "test-model", input: "Weather?", tools: [tool], previous_response_id: first.id };
    print((await client.responses.create(chained)).output.map((item) => item.type));
  },

  async background() {
    const { id } = await client.responses.create({ model: "test-model", input: "Hi", background: true });
    print((await client.responses.cancel(id)).status);
    print((await client.responses.retrieve(id)).status);
  },

  async failures() {
    await failure(() => client.withOptions({ apiKey: "wrong-0123456789" }).models.list());
    await failure(() => client.models.retrieve("nope"));
    await failure(() => client.chat.completions.create({ ...request, messages: [] }));
    await failure(async () => {
      for await (const _ of await client.chat.completions.create({ ...request, stream: true }));
    });
  },

  async leaving() {
    const stream = await client.chat.completions.create({ ...request, stream: true });
    for await (const _ of stream) break;
    print("left");
    await new Promise((resolve) => process.stdin.once("data", resolve));
    process.stdin.unref();
  },
};

await scenarios[process.env.SCENARIO]();
