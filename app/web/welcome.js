// What an empty conversation shows.

import { defaultModel } from "./account.js";
import { button, find } from "./elements.js";

const DEMO = /smollm2-135m/i;
const QUESTIONS = [
  "Explain how a rainbow comes about, in three sentences.",
  "Write a Python function that finds the longest word in a text.",
  "What should I look at when I choose a bicycle?",
];

const greeting = find("#greeting", HTMLElement);

/** @param {(message: string) => void} onAsk */
export function wireWelcome(onAsk) {
  const questions = QUESTIONS.map((question) => button(question, () => onAsk(question)));
  find("#questions", HTMLElement).replaceChildren(...questions);
}

export function showGreeting() {
  const model = defaultModel();
  const who = model ? `${model} answers here.` : "A model answers here.";
  greeting.textContent = DEMO.test(model)
    ? `${who} It is a small model for trying the service out, and is often wrong.`
    : `${who} It can be wrong.`;
}
