// Who asks, and with which key.

import { key, setKey, setUserId, userId } from "./store.js";

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

/** `onSave` is called once they are other ones. */
export function wireSettings(onSave) {
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
}
