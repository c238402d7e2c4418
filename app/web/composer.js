// Where a question is written and sent, and its answer stopped.

const form = document.querySelector("#composer");
const input = document.querySelector("#message");
const sendButton = document.querySelector("#send");
const stopButton = document.querySelector("#stop");

/** `onSend` is given a message, and tells whether it took it. */
export function wireComposer(onSend, onStop) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const message = input.value;
    if (message.trim() && onSend(message)) input.value = "";
    input.focus();
  });
  input.addEventListener("keydown", (event) => {
    // While an input method composes a character, Enter is its own.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  stopButton.addEventListener("click", onStop);
}

export function showRunning(isRunning) {
  stopButton.hidden = !isRunning;
  sendButton.hidden = isRunning;
}

export function focus() {
  input.focus();
}

/** Give a question back to whoever wrote it; what has been written since stays. */
export function giveBack(message) {
  input.value ||= message;
  input.focus();
}
