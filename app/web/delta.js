// What a chunk adds. Most backends send strings; Mistral's reasoning models send parts.

/** The texts that are in it: of the answer, and of what the model thinks before it. */
export function textsOf(chunk) {
  const { content, reasoning_content: older, reasoning } = chunk.choices?.[0]?.delta ?? {};
  // Some backends send both names, with the same text.
  return { text: textOf(content), thinking: textOf(older) || textOf(reasoning) || thinkingIn(content) };
}

function textOf(content) {
  if (typeof content === "string") return content;
  return partsOf(content).map((part) => (typeof part?.text === "string" ? part.text : "")).join("");
}

const thinkingIn = (content) => partsOf(content).map((part) => textOf(part?.thinking)).join("");
const partsOf = (content) => (Array.isArray(content) ? content : []);
