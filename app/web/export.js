// A conversation as a file.

import * as api from "./api.js";
import { make } from "./elements.js";

const KEEP_URL_FOR = 60_000;
const LARGEST_PAGE = 200;

/** Download a conversation as Markdown, for people.
 * @param {string} conversationId @param {string} title */
export async function exportMarkdown(conversationId, title) {
  const parts = (await allMessages(conversationId)).map(({ role, content, created_at: at, model }) => {
    const heading = role === "user" ? "Question" : `Answer (${model})`;
    return `## ${heading}\n\n*${at}*\n\n${content.trim()}\n`;
  });
  download(`# ${title}\n\n${parts.join("\n")}`, "text/markdown", `${fileName(title)}.md`);
}

/** Download a conversation as JSON, for programs.
 * @param {string} conversationId @param {string} title */
export async function exportJson(conversationId, title) {
  const messages = await allMessages(conversationId);
  const text = JSON.stringify({ conversation_id: conversationId, title, messages }, null, 2);
  download(text, "application/json", `${fileName(title)}.json`);
}

/** @param {string} conversationId */
async function allMessages(conversationId) {
  const messages = [];
  /** @type {string | null} */
  let before = null;
  do {
    /** @type {api.Page} */
    const page = await api.conversation(conversationId, { before, limit: LARGEST_PAGE });
    messages.unshift(...page.messages);
    before = page.next_before;
  } while (before);
  return messages;
}

/** @param {string} title */
const fileName = (title) => title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "conversation";

/** @param {string} text @param {string} type @param {string} name */
function download(text, type, name) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), KEEP_URL_FOR);
}
