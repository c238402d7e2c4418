// Where a question is written and sent, and its answer stopped.

import { defaultModel, models, userId } from "./account.js";
import { find, make } from "./elements.js";
import { chooseModel, chosenModel, storeDrafts, storedDrafts } from "./storage.js";

const MAX_DRAFTS = 50;
const INPUT_METHOD = 229;

const form = find("#composer", HTMLFormElement);
const input = find("#message", HTMLTextAreaElement);
const sendButton = find("#send", HTMLButtonElement);
const stopButton = find("#stop", HTMLButtonElement);
const modelChoice = find("#model", HTMLSelectElement);
const modelName = find("#model-name", HTMLElement);
const keys = find("#keys", HTMLElement);

/** On a touch screen Enter makes a new line, and the button sends. */
const touchScreen = window.matchMedia("(hover: none) and (pointer: coarse)");
const growsByItself = CSS.supports("field-sizing", "content");

let conversationId = "";

/** `onSend` gets a message, and returns whether it took it.
 * @param {(message: string) => boolean} onSend @param {() => void} onStop */
export function wireComposer(onSend, onStop) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const message = input.value;
    if (message.trim() && onSend(message)) write("");
    if (touchScreen.matches) input.blur(); // the keyboard makes way for the answer
    else input.focus();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || touchScreen.matches || isComposing(event)) return;
    event.preventDefault();
    form.requestSubmit();
  });
  input.addEventListener("input", () => {
    storeDraft(conversationId, input.value);
    fit();
  });
  stopButton.addEventListener("click", onStop);
  modelChoice.addEventListener("change", () => chooseModel(modelChoice.value));
  touchScreen.addEventListener("change", showKeys);
  showKeys();
}

/** Whether an input method is composing a character, and the key is its own.
 * @param {KeyboardEvent} event */
function isComposing(event) {
  // Safari ends the composition before the key that ended it; such a key has this code and no other sign.
  return event.isComposing || event.keyCode === INPUT_METHOD;
}

function showKeys() {
  keys.hidden = touchScreen.matches;
  input.enterKeyHint = touchScreen.matches ? "enter" : "send";
}

/** @param {boolean} isRunning */
export function showRunning(isRunning) {
  stopButton.hidden = !isRunning;
  sendButton.hidden = isRunning;
}

export function focus() {
  input.focus();
}

/** Have the composer ready at load, unless that opens a keyboard over half the page. */
export function focusAtLoad() {
  if (!touchScreen.matches && !document.querySelector("dialog[open]")) input.focus();
}

/** Show what was written, and not sent, in this conversation.
 * @param {string} opened */
export function openDraft(opened) {
  conversationId = opened;
  input.value = storedDrafts(userId()).get(opened) ?? "";
  fit();
}

/** Put a question back where it was written; what has been written since stays.
 * @param {string} asked the conversation @param {string} message */
export function restoreDraft(asked, message) {
  if (asked !== conversationId) {
    if (!storedDrafts(userId()).get(asked)) storeDraft(asked, message);
    return;
  }
  if (!input.value) write(message);
  input.focus();
}

/** Forget what was written in a conversation that is gone.
 * @param {string} deleted */
export function forgetDraft(deleted) {
  storeDraft(deleted, "");
}

/** @param {string} text */
function write(text) {
  input.value = text;
  storeDraft(conversationId, text);
  fit();
}

/** @param {string} id @param {string} text */
function storeDraft(id, text) {
  const drafts = storedDrafts(userId());
  drafts.delete(id);
  if (text.trim()) drafts.set(id, text);
  storeDrafts(userId(), new Map([...drafts].slice(-MAX_DRAFTS)));
}

/** Have the field as high as its text. */
function fit() {
  if (growsByItself) return;
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight + input.offsetHeight - input.clientHeight}px`;
}

/** Show which model answers, and offer the other models of the service. */
export function showModels() {
  modelChoice.replaceChildren(...models().map((name) => make("option", { value: name }, name)));
  modelChoice.value = models().includes(chosenModel()) ? chosenModel() : defaultModel();
  modelChoice.hidden = models().length < 2;
  modelName.hidden = models().length !== 1;
  modelName.textContent = defaultModel();
}

/** Return the model to ask for; empty if the service chooses. */
export const model = () => (modelChoice.value === defaultModel() ? "" : modelChoice.value);
