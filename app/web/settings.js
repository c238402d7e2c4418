// Who asks, with which key, and how the page looks.

import { boundUserId, userId } from "./account.js";
import { confirmed } from "./dialogs.js";
import { find } from "./elements.js";
import { chooseUserId, key, setKey, setTheme, theme, whenUserChanges } from "./storage.js";

const dialog = find("#settings", HTMLDialogElement);
const form = find("form", HTMLFormElement, dialog);
const userInput = find("#user-id", HTMLInputElement);
const userHint = find("#user-id-hint", HTMLElement);
const keyInput = find("#key", HTMLInputElement);
const themes = find("#themes", HTMLFieldSetElement);

/** The key is what is asked for: the service refuses without it, or a person comes to change it. */
export function openSettings() {
  if (dialog.open) return;
  const isBound = boundUserId() !== null;
  userInput.value = userId();
  userInput.readOnly = isBound;
  userHint.textContent = isBound
    ? "Your key belongs to this user."
    : "Conversations are stored under it.";
  keyInput.value = key();
  find(`input[value="${theme()}"]`, HTMLInputElement, themes).checked = true;
  dialog.showModal();
  keyInput.focus();
}

/** `onSave` is called once user or key are other ones, `onErase` if nothing of the user is to stay.
 * @param {() => void} onSave @param {() => void} onErase */
export function wireSettings(onSave, onErase) {
  find("#open-settings", HTMLButtonElement).addEventListener("click", openSettings);
  find("#close-settings", HTMLButtonElement).addEventListener("click", () => dialog.close());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close();
    if (userInput.value === userId() && keyInput.value === key()) return;
    if (!userInput.readOnly) chooseUserId(userInput.value);
    setKey(keyInput.value);
    onSave();
  });
  whenUserChanges(onSave);
  themes.addEventListener("change", ({ target }) => {
    if (!(target instanceof HTMLInputElement)) return;
    setTheme(target.value);
    document.dispatchEvent(new CustomEvent("themechange", { detail: target.value }));
  });
  find("#erase", HTMLButtonElement).addEventListener("click", async () => {
    const consequence = `Every conversation of the user “${userId()}” is deleted, on all devices. This cannot be undone.`;
    if (!(await confirmed("Erase everything?", consequence, "Erase"))) return;
    dialog.close();
    onErase();
  });
}
