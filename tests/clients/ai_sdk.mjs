// Uses the Vercel AI SDK's chat with the transport of the examples. Prints what happens, one JSON a line.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { AbstractChat, lastAssistantMessageIsCompleteWithToolCalls, streamText } from "ai";

const { TurnTransport } = await import(process.env.TRANSPORT);
const url = process.env.CHAT_URL;
const print = (value) => console.log(JSON.stringify(value));

class State {
  status = "ready";
  messages = [];
  pushMessage = (message) => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) => (this.messages = this.messages.with(index, message));
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor(storage, options = {}) {
    const headers = { Authorization: `Bearer ${process.env.API_KEY}` };
    const transport = new TurnTransport({ url, model: "test-model", headers, storage });
    super({ id: "chat-1", transport, state: new State(), ...options });
  }

  get text() {
    const parts = this.lastMessage.parts.filter((part) => part.type === "text");
    return this.lastMessage.role === "assistant" ? parts.map((part) => part.text).join("") : "";
  }

  report() {
    print({ text: this.text, status: this.status, messages: this.messages.length, error: this.error?.message });
  }
}

class Storage extends Map {
  getItem = (name) => this.get(name);
  setItem = (name, value) => this.set(name, value);
  removeItem = (name) => this.delete(name);
}

const storage = new Storage();
const text = { text: "Hello" };

async function beginning(chat) {
  while (!chat.messages.length || !chat.text) await new Promise((resolve) => setTimeout(resolve, 10));
  chat.report();
}

const scenarios = {
  async whole() {
    const chat = new Chat(storage);
    const sent = chat.sendMessage(text);
    await beginning(chat);
    await sent;
    chat.report();
    print({ remembered: storage.size });
  },

  async reload() {
    const left = new Chat(storage);
    left.sendMessage(text);
    await beginning(left);
    const chat = new Chat(storage);
    chat.messages = left.messages; // as a page has them that stores what it shows
    const resumed = chat.resumeStream();
    print("resumed");
    await resumed;
    chat.report();
  },

  async stop() {
    const chat = new Chat(storage);
    const sent = chat.sendMessage(text);
    await beginning(chat);
    await chat.stop();
    await sent;
    chat.report();
    print({ remembered: storage.size });
  },

  async "stop at once"() {
    const chat = new Chat(storage);
    const sent = chat.sendMessage(text);
    await new Promise((resolve) => process.stdin.once("data", resolve));
    await chat.stop();
    await sent;
    print(chat.status);
    process.stdin.unref();
  },

  async refused() {
    const chat = new Chat(storage);
    await chat.sendMessage(text);
    chat.report();
  },

  async tools() {
    const chat = new Chat(storage, { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls });
    await chat.sendMessage(text, { body: { tools: [{ type: "function", function: { name: "weather" } }] } });
    const { toolCallId, input } = chat.lastMessage.parts.find((part) => part.type === "tool-weather");
    print({ toolCallId, input });
    await chat.addToolOutput({ tool: "weather", toolCallId, output: { sky: "blue" } });
    while (chat.status !== "ready" || !chat.text) await new Promise((resolve) => setTimeout(resolve, 10));
    chat.report();
  },

  async provider() {
    const [baseURL, apiKey] = [`${url}/v1`, process.env.API_KEY];
    const provider = createOpenAICompatible({ name: "service", baseURL, apiKey, includeUsage: true });
    const { textStream, usage } = streamText({ model: provider("test-model"), prompt: "Hello" });
    const parts = [];
    for await (const part of textStream) parts.push(part);
    print({ text: parts.join(""), tokens: (await usage).outputTokens });
  },
};

await scenarios[process.env.SCENARIO]();
