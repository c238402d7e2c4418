// Asks in the background with OpenAI's package, and prints the answer; after a cut it goes on from there.
// Needs openai (npm install openai): node examples/responses.mjs "Hello"
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";

const baseURL = `${process.env.CHAT_URL ?? "http://localhost:8000"}/v1`;
const model = process.env.CHAT_MODEL ?? "smollm2-135m-instruct";
// The service sends a ping at least every ten seconds, so a longer silence means a dead connection.
const client = new OpenAI({ baseURL, apiKey: process.env.API_KEY ?? "unused", timeout: 30_000 });

// Prints each piece of the text once.
async function ask(input) {
  // A background response runs to its end, whether or not anything reads it.
  const { id } = await client.responses.create({ model, input, background: true });
  let last = -1;
  for (;;) {
    try {
      const stream = await client.responses.retrieve(id, { stream: true, starting_after: last });
      for await (const event of stream) {
        last = event.sequence_number;
        if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
        if (["response.completed", "response.incomplete"].includes(event.type)) return;
      }
    } catch (error) {
      // An error of the API has a status, or comes as an event; a cut has neither.
      if (error instanceof OpenAI.APIError && !(error instanceof OpenAI.APIConnectionError)) throw error;
      console.error(`${error.message}: reconnecting`);
    }
    await sleep(1000);
  }
}

await ask(process.argv[2] ?? "Hello");
