// Why an answer is shorter than its reader may expect, from what the service stores of it.

const ENDS = {
  stopped: "Stopped.",
  interrupted: "Interrupted: this is not the whole answer.",
  error: "Failed: this is not the whole answer.",
};
const FINISHES = {
  length: "The answer ends here because it reached its length limit.",
  content_filter: "A content filter of the model's provider cut this answer.",
  tool_calls: "The model asked for a tool, which this page does not have.",
};

/**
 * Return what is to be said below an answer; empty if the answer speaks for itself.
 * @param {{status?: string, finish_reason?: string | null, content: string}} answer
 * @param {{hasThought?: boolean, unreadable?: number}} [seen] what this tab has seen of it
 */
export function reasonFor({ status = "complete", finish_reason: finish, content }, { hasThought, unreadable } = {}) {
  const reasons = [
    ENDS[/** @type {keyof ENDS} */ (status)],
    status === "complete" && FINISHES[/** @type {keyof FINISHES} */ (finish ?? "")],
    !content.trim() && (hasThought ? "The model thought, but wrote no answer." : "The model wrote no answer."),
    unreadable && "A part of the answer could not be read, and is missing here.",
  ];
  return reasons.filter(Boolean).join(" ");
}
