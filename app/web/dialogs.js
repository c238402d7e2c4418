// Asks before something is done that cannot be undone, and for a name.

import { find } from "./elements.js";

const confirmDialog = find("#confirm", HTMLDialogElement);
const yes = find("#confirm-yes", HTMLButtonElement);
const renameDialog = find("#rename", HTMLDialogElement);
const titleInput = find("#title", HTMLInputElement);

// Not a submit button: Enter in the field would press it, as the form's first one.
find("#close-rename", HTMLButtonElement).addEventListener("click", () => renameDialog.close());

/** Return whether it was confirmed. Escape is a no, and so is Enter: the focus is on Cancel.
 * @param {string} question @param {string} consequence @param {string} action */
export async function confirmed(question, consequence, action) {
  find("h2", HTMLElement, confirmDialog).textContent = question;
  find("p", HTMLElement, confirmDialog).textContent = consequence;
  yes.textContent = action;
  return (await answerOf(confirmDialog)) === "yes";
}

/** Return the title that was typed, or null.
 * @param {string} title the one it has now */
export async function newTitle(title) {
  titleInput.value = title;
  const answer = answerOf(renameDialog);
  titleInput.select();
  return (await answer) === "yes" ? titleInput.value.trim() : null;
}

/** @param {HTMLDialogElement} dialog @returns {Promise<string>} */
function answerOf(dialog) {
  dialog.returnValue = ""; // in some browsers Escape leaves the last one
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}
