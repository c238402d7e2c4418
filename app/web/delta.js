// What a chunk adds. Most backends send strings; Mistral's reasoning models send parts.

/**
 * Read a chunk: the answer's text, what the model thinks before it, and why the answer ends.
 * @param {any} chunk
 */
export function partsOf(chunk) {
  const { delta, finish_reason: reason } = chunk.choices?.[0] ?? {};
  const { content, refusal, reasoning_content: older, reasoning } = delta ?? {};
  return {
    // A refusal is what the model answers.
    text: textOf(content) + textOf(refusal),
    // Some backends send both names, with the same text.
    thinking: textOf(older) || textOf(reasoning) || thinkingIn(content),
    finishReason: typeof reason === "string" ? reason : null,
  };
}

/** @param {unknown} content @returns {string} */
function textOf(content) {
  if (typeof content === "string") return content;
  return listOf(content).map((part) => (typeof part?.text === "string" ? part.text : "")).join("");
}

/** @param {unknown} content */
const thinkingIn = (content) => listOf(content).map((part) => textOf(part?.thinking)).join("");
/** @param {unknown} content @returns {any[]} */
const listOf = (content) => (Array.isArray(content) ? content : []);
