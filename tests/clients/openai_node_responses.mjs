// Uses the Responses API by OpenAI's package for Node.js. Prints what comes of it, one JSON a line.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.CHAT_URL}/v1`, apiKey: process.env.API_KEY, maxRetries: 0 });
const model = "test-model";
const tools = [{ type: "function", name: "weather", parameters: { type: "object", properties: {} }, strict: false }];
const print = (value) => console.log(JSON.stringify(value));

const scenarios = {
  async answers() {
    const whole = await client.responses.create({ model, input: "Hi" });
    print(whole.output_text);
    const helper = client.responses.stream({ model, input: "Hi", previous_response_id: whole.id });
    const texts = [];
    helper.on("response.output_text.delta", (event) => texts.push(event.delta));
    print({ final: (await helper.finalResponse()).output_text, texts });
    const items = [];
    for await (const item of client.responses.inputItems.list(whole.id)) items.push(item.content[0].text);
    print(items);
    await client.responses.delete(whole.id);
    await client.responses.retrieve(whole.id).catch((error) => print(error.status));
  },

  async tools() {
    const helper = client.responses.stream({ model, input: "Hi", tools });
    const done = [];
    helper.on("response.function_call_arguments.done", (event) => done.push(event.name));
    print({ done, output: (await helper.finalResponse()).output.map((item) => [item.type, item.arguments]) });
  },

  async resumes() {
    const events = [];
    const stream = await client.responses.create({ model, input: "Hi", background: true, stream: true });
    for await (const event of stream) {
      events.push(event);
      if (event.type === "response.output_text.delta") break;
    }
    const { id } = events[0].response;
    const last = events.at(-1).sequence_number;
    print("left");
    const rest = await client.responses.retrieve(id, { stream: true, starting_after: last });
    for await (const event of rest) events.push(event);
    print({ numbers: events.map((event) => event.sequence_number), last: events.at(-1).type });
    const helper = client.responses.stream({ response_id: id, starting_after: last });
    print((await helper.finalResponse()).output_text);
  },

  async cancels() {
    const { id } = await client.responses.create({ model, input: "Hi", background: true });
    print((await client.responses.cancel(id)).status);
  },

  async conversations() {
    const conversation = await client.conversations.create({ items: [{ role: "user", content: "One" }] });
    await client.responses.create({ model, input: "Two", conversation: conversation.id });
    const texts = [];
    const items = client.conversations.items.list(conversation.id, { order: "asc", limit: 2 });
    for await (const item of items) texts.push(item.content[0].text);
    print(texts);
  },
};

await scenarios[process.env.SCENARIO]();
