// Asks before something is done that cannot be undone.

const dialog = document.querySelector("#confirm");
const [title, text] = dialog.querySelectorAll("h2, p");
const yes = dialog.querySelector("#confirm-yes");

/** Whether it was confirmed. Escape is a no, and so is Enter: the focus is on Cancel. */
export function confirmed(question, consequence, action) {
  title.textContent = question;
  text.textContent = consequence;
  yes.textContent = action;
  dialog.returnValue = ""; // in some browsers Escape leaves the last one
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === yes.value), { once: true });
  });
}
