// Why an answer is shorter than its reader may expect, from what the service stores of it.

const ENDS = {
  stopped: "Stopped.",
  interrupted: "Interrupted: this is not the whole answer.",
  error: "Failed: this is not the whole answer.",
};
// By the words of the providers; app/llm/finish.py has them all.
const FINISHES = [
  {
    words: /^(length|model_length|max_tokens|token_limit|model_context_window_exceeded)$/,
    text: "The answer ends here because it reached its length limit.",
  },
  {
    words: /^(content_filter(ed)?|guardrail_intervened|sensitive|refusal|error_toxic|safety|recitation|blocklist|prohibited_content|spii)$/,
    text: "A content filter of the model's provider cut this answer.",
  },
  {
    words: /^(tool_calls?|tool_use|function_call)$/,
    text: "The model asked for a tool, which this page does not have.",
  },
];

/**
 * Return what is to be said below an answer; empty if the answer speaks for itself.
 * @param {{status?: string, finish_reason?: string | null, content: string}} answer
 * @param {{hasThought?: boolean, unreadable?: number}} [seen] what this tab has seen of it
 */
export function reasonFor({ status = "complete", finish_reason: finish, content }, { hasThought, unreadable } = {}) {
  const reasons = [
    ENDS[/** @type {keyof ENDS} */ (status)],
    status === "complete" && textOf(finish ?? ""),
    !content.trim() && (hasThought ? "The model thought, but wrote no answer." : "The model wrote no answer."),
    unreadable && "A part of the answer could not be read, and is missing here.",
  ];
  return reasons.filter(Boolean).join(" ");
}

/**
 * Return the text for a finish reason: without capitals, and without the cause that Gemini adds after a colon.
 * @param {string} finish
 */
function textOf(finish) {
  const word = finish.split(":", 1)[0].trim().toLowerCase();
  return FINISHES.find(({ words }) => words.test(word))?.text;
}
