// Where the messages stand: what is there, and which part of it is seen.

import { find, make } from "./elements.js";

const log = find("#log", HTMLElement);
const messages = find("#messages", HTMLElement);
const welcome = find("#welcome", HTMLElement);
const toEnd = find("#to-end", HTMLButtonElement);

const NEARLY = 48;
const SKELETON_AFTER = 150;

let isAtEnd = true;
let skeletonTimer = 0;

log.addEventListener("scroll", () => {
  isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEARLY;
  showToEnd();
});
new ResizeObserver(stayAtEnd).observe(log); // a phone's keyboard comes and goes
toEnd.addEventListener("click", () => {
  goToEnd();
  log.focus(); // the button is gone
});

/** A reader at the end stays there; a reader who has scrolled up is left in peace. */
export function stayAtEnd() {
  if (isAtEnd) log.scrollTop = log.scrollHeight;
  showToEnd();
}

export function goToEnd() {
  isAtEnd = true;
  stayAtEnd();
}

export function clear() {
  messages.replaceChildren();
  showWelcome(false);
}

/** @param {...Element} elements */
export function append(...elements) {
  messages.append(...elements);
  if (elements.length > 0) showWelcome(false);
  goToEnd();
}

/** Put older messages above the messages that are shown, which do not move.
 * @param {...Element} elements */
export function prepend(...elements) {
  const fromEnd = log.scrollHeight - log.scrollTop;
  messages.prepend(...elements);
  log.scrollTop = log.scrollHeight - fromEnd;
}

/** Show shapes of messages if they do not come soon. */
export function showLoading() {
  clearTimeout(skeletonTimer);
  skeletonTimer = setTimeout(() => {
    const line = () => make("div", { className: "line" });
    messages.replaceChildren(make("div", { className: "skeleton", ariaHidden: "true" }, line(), line(), line()));
  }, SKELETON_AFTER);
}

export function showLoaded() {
  clearTimeout(skeletonTimer);
  messages.querySelector(".skeleton")?.remove();
}

/** @param {boolean} isEmpty whether the conversation is known to have no message */
export function showWelcome(isEmpty) {
  welcome.hidden = !isEmpty;
}

/** Return the turn that the last message is of. */
export function lastTurn() {
  return /** @type {HTMLElement | null} */ (messages.lastElementChild)?.dataset.turn;
}

/** @param {string} turnId @returns {NodeListOf<HTMLElement>} */
export function elementsOf(turnId) {
  return messages.querySelectorAll(`[data-turn="${CSS.escape(turnId)}"]`);
}

export function isEmpty() {
  return messages.childElementCount === 0;
}

export function hasAlert() {
  return messages.querySelector("[role=alert]") !== null;
}

function showToEnd() {
  toEnd.hidden = isAtEnd;
}
