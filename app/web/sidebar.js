// The list of the user's conversations.

import * as api from "./api.js";
import { button } from "./view.js";

const list = document.querySelector("#conversations");
const older = document.querySelector("#older-conversations");
const sidebar = document.querySelector("#sidebar");
const menu = document.querySelector("#menu");

let asked = 0;
let nextBefore = null;

/** The address of a conversation within the page. */
export const addressOf = (conversationId) => `#${encodeURIComponent(conversationId)}`;

/** Show the newest conversations, the current one among them even where nothing is kept of it yet. */
export async function refresh(current, onDelete) {
  const number = ++asked;
  const page = await api.conversations();
  if (number !== asked) return; // a later one has been asked for
  const found = page.conversations;
  if (!found.some((each) => each.conversation_id === current)) {
    found.unshift({ conversation_id: current, message_count: 0 });
  }
  replaceItems(found.map((each) => item(each, current, onDelete)));
  turnTo(page);
  older.onclick = async () => {
    const next = await api.conversations(nextBefore).catch(() => null);
    if (!next) return; // the button is still there
    list.append(...next.conversations.map((each) => item(each, current, onDelete)));
    turnTo(next);
  };
}

/** On a phone it lies over the messages. */
export function toggle(isOpen = menu.ariaExpanded !== "true") {
  menu.ariaExpanded = String(isOpen);
  sidebar.classList.toggle("open", isOpen);
}

menu.addEventListener("click", () => toggle());

/** Whoever is among them with the keyboard stays at the same one, or where it was. */
function replaceItems(items) {
  const reached = document.activeElement;
  const place = controls().indexOf(reached);
  list.replaceChildren(...items);
  if (place < 0) return;
  const same = controls().find((each) => each.ariaLabel === reached.ariaLabel && each.href === reached.href);
  (same ?? controls()[place] ?? controls().at(-1)).focus();
}

const controls = () => [...list.querySelectorAll("a, button")];

function turnTo(page) {
  nextBefore = page.next_before;
  older.hidden = !nextBefore;
}

function item({ conversation_id: id, message_count: count, active_turn: active }, current, onDelete) {
  const made = document.createElement("li");
  const link = document.createElement("a");
  link.href = addressOf(id);
  link.textContent = id;
  if (id === current) link.ariaCurrent = "page";
  const detail = document.createElement("small");
  detail.textContent = active ? "answering" : `${count} ${count === 1 ? "message" : "messages"}`;
  link.append(detail);
  const remove = button("×", () => onDelete(id));
  remove.ariaLabel = `Delete conversation ${id}`;
  made.append(link, remove);
  return made;
}
