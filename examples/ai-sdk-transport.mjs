// A transport for the Vercel AI SDK's useChat: an answer survives a cut connection and a reload of the page.
//
//   const transport = new TurnTransport({ url: "http://localhost:8000", model: "smollm2-135m-instruct" });
//   const chat = useChat({ id: "chat-1", transport, resume: true });
//
// Leaving the page stops nothing; stop() does. Tools go into the body: sendMessage(message, { body: { tools } }).
// Needs version 5 or later of the package `ai`.
// A browser needs the page's origin in CORS_ORIGINS, or both behind one host.

const RETRY_MS = 1000;

export class TurnTransport {
  resumeStreamIsReplay = true; // a resumed stream begins with the first word
  #url;
  #headers;
  #body;
  #storage;

  // The storage remembers the running turn of each chat: sessionStorage for a tab, localStorage for all of them.
  constructor({ url, model, headers = {}, body = {}, storage = globalThis.sessionStorage }) {
    this.#url = url;
    this.#headers = headers;
    this.#body = { ...body, model };
    this.#storage = storage;
  }

  async sendMessages({ chatId, messages, abortSignal, headers, body }) {
    const request = {
      method: "POST",
      headers: {
        ...this.#headers,
        ...Object.fromEntries(new Headers(headers)),
        "Content-Type": "application/json",
        // The same key for every attempt: a repeated request does not start a second answer. And with a key, an
        // answer outlives its connection.
        "Idempotency-Key": crypto.randomUUID(),
      },
      body: JSON.stringify({ ...this.#body, ...body, messages: messages.flatMap(toOpenAI), stream: true }),
    };
    // An answer to tool results goes on in the message that called the tools.
    const isContinued = messages.at(-1).role === "assistant";
    return this.#stream({ chatId, request, isContinued, abortSignal });
  }

  async reconnectToStream({ chatId, abortSignal }) {
    const turnId = this.#storage.getItem(`turn:${chatId}`);
    if (!turnId) return null;
    const response = await this.#follow(turnId, 0, abortSignal);
    if (response.status === 200) return this.#stream({ chatId, turnId, response, abortSignal });
    this.#storage.removeItem(`turn:${chatId}`);
    return null;
  }

  #follow(turnId, received, signal) {
    const place = received ? { "Last-Event-ID": `${turnId}-${received}` } : {};
    return fetch(`${this.#url}/chat/${turnId}`, { headers: { ...this.#headers, ...place }, signal });
  }

  #stream(turn) {
    const connection = new AbortController();
    let started;
    const turnId = new Promise((resolve) => (started = resolve));
    const parts = toParts(this.#chunks(turn, connection.signal, started), turn);
    return new ReadableStream({
      start: (controller) =>
        turn.abortSignal?.addEventListener("abort", async () => {
          connection.abort();
          controller.error(turn.abortSignal.reason);
          this.#storage.removeItem(`turn:${turn.chatId}`);
          const stop = { method: "DELETE", headers: this.#headers };
          await fetch(`${this.#url}/chat/${await turnId}`, stop).catch(console.error);
        }),
      async pull(controller) {
        const { done, value } = await parts.next();
        if (connection.signal.aborted) return;
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: () => connection.abort(),
    });
  }

  // Yields each chunk once. After a cut it goes on behind the last event received.
  async *#chunks(turn, signal, started) {
    for (let received = 0; ; ) {
      try {
        // The request that starts the turn is never aborted: its answer names the turn that is to be stopped.
        turn.response ??= await (turn.turnId
          ? this.#follow(turn.turnId, received, signal)
          : fetch(`${this.#url}/v1/chat/completions`, turn.request));
        const response = turn.response;
        turn.response = null;
        if (response.status < 500 && !response.ok) throw new Error(messageOf(await response.text()));
        if (response.ok) {
          turn.turnId ??= response.headers.get("X-Turn-Id");
          started(turn.turnId);
          if (signal.aborted) return;
          if (!turn.isContinued) this.#storage.setItem(`turn:${turn.chatId}`, turn.turnId);
          for await (const data of events(response, signal)) {
            if (data === "[DONE]" || JSON.parse(data).error) this.#storage.removeItem(`turn:${turn.chatId}`);
            if (data === "[DONE]") return;
            if (JSON.parse(data).error) throw new Error(messageOf(data));
            received += 1;
            yield JSON.parse(data);
          }
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof TypeError)) throw error; // fetch throws a TypeError if the connection is cut
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

// Yields the data of complete events; one that was cut off is sent again.
async function* events(response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  signal.addEventListener("abort", () => reader.cancel().catch(() => {}));
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done || signal.aborted) return;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const data = frame.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield data.slice("data: ".length);
    }
  }
}

function messageOf(text) {
  try {
    return JSON.parse(text).error.message;
  } catch {
    return text;
  }
}

// Turns chunks of a completion into the parts of the AI SDK's message.
async function* toParts(chunks, turn) {
  const calls = [];
  let open, finishReason;
  const ends = () => (open ? [{ type: `${open}-end`, id: open }] : []);
  for await (const chunk of chunks) {
    if (!calls.isStarted) {
      calls.isStarted = true;
      // Named after its turn, so that a replay replaces the message that it repeats.
      yield { type: "start", ...(turn.isContinued ? {} : { messageId: turn.turnId }) };
      yield { type: "start-step" };
    }
    const { delta = {}, finish_reason } = chunk.choices[0] ?? {};
    finishReason = finish_reason ?? finishReason;
    const texts = { reasoning: delta.reasoning_content ?? delta.reasoning, text: delta.content ?? delta.refusal };
    for (const [kind, text] of Object.entries(texts)) {
      if (!text) continue;
      if (open !== kind) {
        yield* ends();
        yield { type: `${kind}-start`, id: (open = kind) };
      }
      yield { type: `${kind}-delta`, id: kind, delta: text };
    }
    for (const { index, id, function: part } of delta.tool_calls ?? []) {
      if (!calls[index]) {
        calls[index] = { toolCallId: id, toolName: part.name, text: "" };
        yield { type: "tool-input-start", toolCallId: id, toolName: part.name };
      }
      calls[index].text += part.arguments ?? "";
      yield { type: "tool-input-delta", toolCallId: calls[index].toolCallId, inputTextDelta: part.arguments ?? "" };
    }
  }
  yield* ends();
  for (const { text, ...call } of calls) {
    yield { type: "tool-input-available", ...call, input: JSON.parse(text || "{}") };
  }
  yield { type: "finish-step" };
  yield { type: "finish", finishReason: finishReason?.replace("_", "-") };
}

// Turns a message of the AI SDK into those that OpenAI's API has: one for each step, and one for each tool's result.
function toOpenAI({ role, parts }) {
  if (role !== "assistant") return [{ role, content: parts.flatMap(toContent) }];
  const steps = [[]];
  for (const part of parts) part.type === "step-start" ? steps.push([]) : steps.at(-1).push(part);
  return steps.flatMap((step) => {
    const content = step.map((part) => (part.type === "text" ? part.text : "")).join("");
    const tools = step.filter((part) => part.toolCallId && part.state.startsWith("output-"));
    const calls = tools.map((part) => ({
      id: part.toolCallId,
      type: "function",
      function: { name: part.toolName ?? part.type.slice("tool-".length), arguments: JSON.stringify(part.input) },
    }));
    if (!content && !calls.length) return [];
    const answer = { role, content: content || null, ...(calls.length ? { tool_calls: calls } : {}) };
    const results = tools.map((part) => ({
      role: "tool",
      tool_call_id: part.toolCallId,
      content: part.errorText ?? (typeof part.output === "string" ? part.output : JSON.stringify(part.output)),
    }));
    return [answer, ...results];
  });
}

function toContent(part) {
  if (part.type === "text") return [{ type: "text", text: part.text }];
  if (part.type === "file") return [{ type: "image_url", image_url: { url: part.url } }];
  return [];
}
