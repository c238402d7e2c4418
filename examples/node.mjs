// Asks a question and prints the answer as it arrives; after a cut it reconnects for the rest.
// Needs Node 20 or later: node examples/node.mjs "Hello"
import { setTimeout as sleep } from "node:timers/promises";

const url = process.env.CHAT_URL ?? "http://localhost:8000";

// Yields complete events only; an event that was cut off is sent again.
async function* events(response) {
  let rest = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    const frames = (rest + part).split("\n\n");
    rest = frames.pop();
    for (const frame of frames.filter((each) => !each.startsWith(":"))) {
      const [id, data] = frame.split("\n");
      yield { id: id.slice("id: ".length), data: data.slice("data: ".length) };
    }
  }
}

// Prints each piece of the text once.
async function ask(message) {
  let place = `${url}/chat`;
  // The same key for every attempt: a repeated request does not start a second answer.
  const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() };
  let request = { method: "POST", headers, body: JSON.stringify({ user_id: "user123", message }) };
  for (;;) {
    try {
      const response = await fetch(place, request);
      if (response.status < 500 && !response.ok) throw new Error(await response.text());
      for await (const { id, data } of response.ok ? events(response) : []) {
        if (data === "[DONE]") return;
        if (id.endsWith("-end")) throw new Error(data);
        process.stdout.write(JSON.parse(data).choices[0]?.delta.content ?? "");
        place = `${url}/chat/${id.slice(0, id.lastIndexOf("-"))}`;
        request = { headers: { "Last-Event-ID": id } };
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // fetch throws a TypeError if the connection is cut
      console.error(`${error.message}: reconnecting`);
    }
    await sleep(1000);
  }
}

await ask(process.argv[2]);
