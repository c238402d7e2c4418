// Messages as elements: a question, an answer, and below each what can be done with it.

import { actionButton, make } from "./elements.js";
import { costOf, shortTime, wholeTime } from "./format.js";
import { show } from "./markdown.js";
import { note } from "./notices.js";
import { reasonFor } from "./reasons.js";

/** Make the elements of messages as the service stores them, oldest first.
 * @param {import("./api.js").Message[]} messages @returns {HTMLElement[]} */
export function storedMessages(messages) {
  return messages.flatMap((message, n) => {
    const { role, content, turn_id: turnId, created_at: createdAt } = message;
    if (role === "user") return questionElements(content, createdAt, turnId);
    const asked = messages[n - 1];
    const askedAt = asked?.turn_id === turnId ? asked.created_at : undefined;
    const answer = bubble("assistant", "Answer");
    show(textIn(answer), content, true);
    const reason = reasonFor(message);
    if (reason) answer.append(note(reason));
    return marked([answer, toolsOf(message, askedAt)], turnId);
  });
}

/** @param {string} content @param {string} createdAt @param {string} [turnId] */
export function questionElements(content, createdAt, turnId) {
  const question = bubble("user", "Question");
  textIn(question).textContent = content;
  textIn(question).dir = "auto";
  const edit = actionButton("Edit", "edit", "Edit the question");
  const tools = make("div", { className: "tools asked" }, edit, time(createdAt));
  return marked([question, tools], turnId);
}

/** Say below an answer who gave it, when and at what cost, and offer what can be done with it.
 * @param {import("./api.js").Message} message @param {string} [askedAt] */
export function toolsOf(message, askedAt) {
  const facts = [message.model ?? "", ...costOf(message, askedAt)].filter(Boolean);
  return make(
    "div",
    { className: "tools" },
    actionButton("Copy", "copy", "Copy the answer"),
    actionButton("Try again", "again"),
    make("span", { className: "facts" }, [...facts, ""].join(" · "), time(message.created_at)),
  );
}

/** @param {"user" | "assistant"} kind @param {string} label */
export function bubble(kind, label) {
  return make("article", { className: kind, ariaLabel: label }, make("div", { className: "text" }));
}

/** @param {Element} article @returns {HTMLElement} */
export const textIn = (article) => /** @type {HTMLElement} */ (article.firstElementChild);

/** Have the elements belong to a turn.
 * @param {HTMLElement[]} elements @param {string} [turnId] */
export function marked(elements, turnId) {
  for (const each of elements) if (turnId) each.dataset.turn = turnId;
  return elements;
}

/** @param {string} timestamp */
function time(timestamp) {
  return make("time", { dateTime: timestamp, title: wholeTime(timestamp) }, shortTime(timestamp));
}
