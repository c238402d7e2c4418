// Server-Sent Events as the HTML standard has them. EventSource itself can neither POST nor send a key.

const LINE_END = /\r\n|\n|\r(?=[^])/; // a \r that came last may be half of a \r\n

/** Yield the events of a response's body. An event that the end cut off is none.
 * @param {ReadableStream<Uint8Array>} body @returns {AsyncGenerator<{id: string, data: string}>} */
export async function* eventsOf(body) {
  let rest = "";
  let id = "";
  /** @type {string[]} */
  let data = [];
  for await (const text of textsOf(body)) {
    const lines = (rest + text).split(LINE_END);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield { id, data: data.join("\n") };
        data = [];
        continue;
      }
      const [name, value] = fieldOf(line);
      if (name === "id") id = value;
      if (name === "data") data.push(value);
    }
  }
}

/** Decode the body; not every browser can iterate a stream.
 * @param {ReadableStream<Uint8Array>} body */
async function* textsOf(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    reader.cancel().catch(() => {}); // read() has thrown already if the stream failed
  }
}

/** @param {string} line */
function fieldOf(line) {
  const colon = line.indexOf(":");
  if (colon < 0) return [line, ""];
  return [line.slice(0, colon), line.slice(colon + (line[colon + 1] === " " ? 2 : 1))];
}
