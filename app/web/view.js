// Messages, and what is said about them, as elements. Nothing here knows the service.

import { show } from "./markdown.js";

const log = document.querySelector("#log");
const messages = document.querySelector("#messages");
const status = document.querySelector("#status");
const announcer = document.querySelector("#announcer");

const NEARLY = 48;
const NOT_COMPLETE = {
  stopped: "Stopped.",
  interrupted: "Interrupted: this is not the whole answer.",
  error: "Failed: this is not the whole answer.",
};

let isAtEnd = true;
log.addEventListener("scroll", () => {
  isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEARLY;
});
new ResizeObserver(stayAtEnd).observe(log); // a phone's keyboard comes and goes

/** Whoever reads the end goes on doing so; whoever has scrolled up is left in peace. */
export function stayAtEnd() {
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

export function goToEnd() {
  isAtEnd = true;
  stayAtEnd();
}

export function clear() {
  messages.replaceChildren();
}

export function append(...elements) {
  messages.append(...elements);
  goToEnd();
}

/** Put older messages above the others, which stay where they are. */
export function prepend(...elements) {
  const fromEnd = log.scrollHeight - log.scrollTop;
  messages.prepend(...elements);
  log.scrollTop = log.scrollHeight - fromEnd;
}

/** A message as the service keeps it. */
export function message({ role, content, turn_id: turnId, status: ended }) {
  if (role === "user") return question(content, turnId);
  const article = bubble("assistant", "Answer", turnId);
  show(article.firstChild, content);
  if (ended in NOT_COMPLETE) article.append(note(NOT_COMPLETE[ended]));
  return article;
}

/** The turn that the last message is of. */
export function lastTurn() {
  return messages.lastElementChild?.dataset.turn;
}

export function hasAlert() {
  return messages.querySelector("[role=alert]") !== null;
}

/** A question and the answer that comes to it. */
export class Exchange {
  #question;
  #answer = bubble("assistant", "Answer");
  #trimmed = null;
  #thinking = null;
  #notice = null;
  #hasStarted = false;
  #turnId = null;

  constructor(text) {
    this.#question = question(text);
  }

  get elements() {
    const started = this.#hasStarted ? [this.#trimmed, this.#thinking, this.#answer] : [];
    return [this.#question, ...started, this.#notice].filter(Boolean);
  }

  get text() {
    return this.#answer.firstChild.textContent;
  }

  /** The turn runs: what else shows the same turn makes way for this. */
  start({ id, trimmed }) {
    if (this.#turnId === id) return;
    this.#turnId = id;
    this.#hasStarted = true;
    for (const other of messages.querySelectorAll(`[data-turn="${CSS.escape(id)}"]`)) other.remove();
    for (const each of [this.#question, this.#answer]) each.dataset.turn = id;
    this.#answer.ariaBusy = "true";
    if (trimmed) this.#trimmed = note(`${trimmed} earlier messages did not fit the model's context and were left out.`);
    if (this.#question.isConnected) this.#question.after(...this.elements.slice(1));
  }

  show(text) {
    show(this.#answer.firstChild, text);
  }

  /** Show what the model thinks: beside the answer, which has none of it. */
  think(text) {
    if (!text) return;
    if (!this.#thinking) {
      this.#thinking = thoughts();
      this.#answer.before(this.#thinking);
    }
    const [paragraph] = this.#thinking.getElementsByTagName("p");
    if (paragraph.textContent !== text) paragraph.textContent = text;
  }

  end(reason) {
    this.#answer.ariaBusy = null;
    if (reason) this.#answer.append(note(reason, "alert"));
  }

  /** Say below the question why it has no answer, and what can be done. */
  notice(...args) {
    this.#notice = notice(...args);
    if (this.#question.isConnected) this.elements.at(-2).after(this.#notice);
  }

  remove() {
    for (const each of this.elements) each.remove();
  }
}

/** Something went wrong; `actions` are `[label, function]`, and a number of seconds to wait for the first. */
export function notice(text, actions, waitSeconds = 0) {
  const found = document.createElement("div");
  found.className = "notice";
  found.role = "alert";
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  found.append(paragraph, ...actions.map(([label, act]) => button(label, act)));
  if (waitSeconds > 0 && actions.length > 0) holdBack(found.querySelector("button"), waitSeconds);
  return found;
}

export function setStatus(text) {
  if (status.textContent !== text) status.textContent = text;
}

/** Have it read out. */
export function announce(text) {
  announcer.textContent = text;
}

export function button(label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", act);
  return made;
}

function holdBack(held, seconds) {
  const label = held.textContent;
  const until = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    held.disabled = left > 0;
    held.textContent = left > 0 ? `${label} in ${left} s` : label;
    if (left > 0) setTimeout(tick, 250);
  };
  tick();
}

function question(text, turnId) {
  const article = bubble("user", "Question", turnId);
  article.firstChild.textContent = text;
  return article;
}

function bubble(kind, label, turnId) {
  const article = document.createElement("article");
  article.className = kind;
  article.ariaLabel = label;
  if (turnId) article.dataset.turn = turnId;
  article.append(document.createElement("div"));
  return article;
}

function thoughts() {
  const made = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "Thinking";
  made.append(summary, document.createElement("p"));
  return made;
}

function note(text, role) {
  const found = document.createElement("p");
  found.className = "note";
  if (role) found.role = role;
  found.textContent = text;
  return found;
}
