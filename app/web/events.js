// Server-Sent Events as the HTML standard has them. EventSource itself can neither POST nor send a key.

const LINE_END = /\r\n|\n|\r(?=[^])/; // a \r that came last may be half of a \r\n

/** The events of a response's body, as `{id, data}`. An event that the end cut off is none. */
export async function* eventsOf(body) {
  let rest = "";
  let id = "";
  let data = [];
  for await (const text of chunksOf(body.pipeThrough(new TextDecoderStream()))) {
    const lines = (rest + text).split(LINE_END);
    rest = lines.pop();
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

// Not every browser can iterate a stream.
async function* chunksOf(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {}); // it may have failed, which read() has told already
  }
}

function fieldOf(line) {
  const colon = line.indexOf(":");
  if (colon < 0) return [line, ""];
  return [line.slice(0, colon), line.slice(colon + (line[colon + 1] === " " ? 2 : 1))];
}
