// What the page says: about a message, about what goes on, and to a screen reader.

import { button, find, make } from "./elements.js";

const status = find("#status", HTMLElement);
const announcer = find("#announcer", HTMLElement);

/** Say what went wrong; `actions` are `[label, function]`, and the first one waits for so many seconds.
 * @param {string} text @param {[string, () => void][]} actions */
export function notice(text, actions, waitSeconds = 0) {
  const buttons = actions.map(([label, act]) => button(label, act));
  const found = make("div", { className: "notice", role: "alert" }, make("p", {}, text), ...buttons);
  if (waitSeconds > 0 && buttons.length > 0) holdBack(buttons[0], waitSeconds);
  return found;
}

/** @param {string} text @param {string} [role] */
export function note(text, role) {
  return make("p", role ? { className: "note", role } : { className: "note" }, text);
}

/** @param {string} text */
export function setStatus(text) {
  if (status.textContent !== text) status.textContent = text;
}

/** Have a screen reader read it. @param {string} text */
export function announce(text) {
  announcer.textContent = text;
}

/** @param {HTMLButtonElement} held @param {number} seconds */
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
