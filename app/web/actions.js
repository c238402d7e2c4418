// What can be done with a message, by the buttons below and within it.

import { codeIn } from "./code.js";
import { button, find, make } from "./elements.js";
import { sourceOf } from "./markdown.js";
import { textIn } from "./messages.js";
import { announce } from "./notices.js";

const COPIED_FOR = 2000;

const messages = find("#messages", HTMLElement);

/** `onAsk` asks a question once more, or another one in its place.
 * @param {(message: string) => void} onAsk */
export function wireActions(onAsk) {
  messages.addEventListener("click", ({ target }) => {
    const pressed = target instanceof Element && target.closest("button");
    if (!pressed) return;
    const { action } = pressed.dataset;
    const figure = pressed.closest("figure");
    const turn = pressed.closest(".tools")?.getAttribute("data-turn") ?? "";
    if (action === "copy") copy(pressed, sourceOf(textIn(articleOf(turn, "assistant"))));
    if (action === "copy-code" && figure) copy(pressed, codeIn(figure));
    if (action === "wrap" && figure) wrap(pressed, figure);
    if (action === "again") onAsk(textIn(articleOf(turn, "user")).textContent ?? "");
    if (action === "edit") edit(pressed, onAsk);
  });
}

/** @param {string} turn @param {"user" | "assistant"} kind */
function articleOf(turn, kind) {
  return find(`article.${kind}[data-turn="${CSS.escape(turn)}"]`, HTMLElement, messages);
}

/** @param {HTMLButtonElement} pressed @param {string} text */
async function copy(pressed, text) {
  const hasCopied = await writeToClipboard(text);
  const label = pressed.dataset.label ?? pressed.textContent ?? "";
  pressed.dataset.label = label;
  pressed.textContent = hasCopied ? "Copied" : "Not copied";
  announce(pressed.textContent);
  setTimeout(() => {
    pressed.textContent = label;
  }, COPIED_FOR);
}

/** @param {string} text */
async function writeToClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // outside of https and localhost there is no clipboard to write to
  }
}

/** @param {string} text */
function copyBySelection(text) {
  const focused = document.activeElement;
  const field = make("textarea", { className: "visually-hidden", value: text });
  document.body.append(field);
  field.select();
  const hasCopied = document.execCommand("copy");
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return hasCopied;
}

/** @param {HTMLButtonElement} pressed @param {Element} figure */
function wrap(pressed, figure) {
  const wraps = figure.classList.toggle("wraps");
  pressed.setAttribute("aria-pressed", String(wraps));
}

/** Put a field in the place of a question, to ask it in other words.
 * @param {HTMLButtonElement} pressed @param {(message: string) => void} onAsk */
function edit(pressed, onAsk) {
  const tools = pressed.closest(".tools");
  const question = tools?.previousElementSibling;
  if (!(tools instanceof HTMLElement) || !(question instanceof HTMLElement)) return;
  const field = make("textarea", { rows: 3, value: textIn(question).textContent ?? "", dir: "auto" });
  field.setAttribute("aria-label", "The question in other words");
  const close = () => {
    form.remove();
    question.hidden = tools.hidden = false;
    if (pressed.isConnected) pressed.focus();
  };
  const form = make(
    "form",
    { className: "editor" },
    field,
    make("div", { className: "actions" }, button("Cancel", close), make("button", { className: "primary" }, "Ask")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!field.value.trim()) return;
    close();
    onAsk(field.value);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  });
  question.hidden = tools.hidden = true;
  tools.after(form);
  field.focus();
}
