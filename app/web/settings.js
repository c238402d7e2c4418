// Who asks, and with which key.

import { confirmed } from "./confirm.js";
import { key, setKey, setUserId, userId, whenUserChanges } from "./store.js";

const dialog = document.querySelector("#settings");
const form = dialog.querySelector("form");
const userInput = document.querySelector("#user-id");
const keyInput = document.querySelector("#key");

export function openSettings() {
  if (dialog.open) return;
  userInput.value = userId();
  keyInput.value = key();
  dialog.showModal();
}

/** `onSave` is called once they are other ones, `onErase` where nothing of the user is to stay. */
export function wireSettings(onSave, onErase) {
  document.querySelector("#open-settings").addEventListener("click", openSettings);
  document.querySelector("#close-settings").addEventListener("click", () => dialog.close());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close();
    if (userInput.value === userId() && keyInput.value === key()) return;
    setUserId(userInput.value);
    setKey(keyInput.value);
    onSave();
  });
  whenUserChanges(onSave);
  document.querySelector("#erase").addEventListener("click", async () => {
    const consequence = `Every conversation of the user “${userId()}” is deleted, on all devices. This cannot be undone.`;
    if (!(await confirmed("Erase everything?", consequence, "Erase"))) return;
    dialog.close();
    onErase();
  });
}
