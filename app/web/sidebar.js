// The list of the user's conversations.

import * as api from "./api.js";
import { button, find, make } from "./elements.js";
import { shortDay, titleFrom } from "./format.js";
import * as running from "./running.js";

const NEW = "New conversation";
const LARGEST_PAGE = 200;
const MOST_PAGES = 50;

const list = find("#conversations", HTMLUListElement);
const older = find("#older-conversations", HTMLButtonElement);
const search = find("#search", HTMLInputElement);
const noneFound = find("#none-found", HTMLElement);
const sidebar = find("#sidebar", HTMLElement);
const menu = find("#menu", HTMLButtonElement);
const heading = find("h1", HTMLElement);

/**
 * What can be done with a conversation.
 * @typedef {[label: string, act: (conversationId: string, title: string) => void, className?: string][]} Actions
 */

/** @type {Actions} */
let actions = [];
let asked = 0;
/** @type {string | null} */
let nextBefore = null;
/** @type {api.Conversation[]} */
let found = [];
let current = "";

/** Return the address of a conversation within the page.
 * @param {string} conversationId */
export const addressOf = (conversationId) => `#${encodeURIComponent(conversationId)}`;

/** @param {Actions} offered */
export function wireSidebar(offered) {
  actions = offered;
  menu.addEventListener("click", () => toggle());
  older.addEventListener("click", () => fetchOlder(asked));
  search.addEventListener("input", fetchAll);
  // A menu closes like every other one: by Escape, and when the focus or the pointer goes elsewhere.
  document.addEventListener("click", ({ target }) => closeMenus(target));
  list.addEventListener("focusout", ({ relatedTarget }) => relatedTarget && closeMenus(relatedTarget));
  list.addEventListener("keydown", (event) => {
    const opened = list.querySelector("details[open]");
    if (event.key !== "Escape" || !opened) return;
    event.stopPropagation();
    closeMenus(null);
    opened.querySelector("summary")?.focus();
  });
}

/** Show the newest conversations, the current one among them even if nothing is stored of it yet.
 * @param {string} opened */
export async function refresh(opened) {
  current = opened;
  showItems();
  const number = ++asked;
  const page = await api.conversations();
  if (number !== asked) return; // a later one has been asked for
  found = page.conversations;
  turnTo(page);
  if (search.value) await fetchAll();
}

/** Show the list beside the messages or, on a phone, over them.
 * @param {boolean} [isOpen] */
export function toggle(isOpen = menu.getAttribute("aria-expanded") !== "true") {
  menu.setAttribute("aria-expanded", String(isOpen));
  sidebar.classList.toggle("open", isOpen);
}

/** @param {number} number @param {number} [limit] */
async function fetchOlder(number, limit) {
  const next = await api.conversations({ before: nextBefore, limit }).catch(() => null);
  if (!next || number !== asked) return false; // the button is still there
  found.push(...next.conversations);
  turnTo(next);
  return true;
}

/** Fetch what the search has not seen yet. */
async function fetchAll() {
  showItems();
  const number = asked;
  for (let pages = 0; nextBefore && search.value && pages < MOST_PAGES; pages++) {
    if (!(await fetchOlder(number, LARGEST_PAGE))) return;
  }
}

/** @param {api.ConversationList} page */
function turnTo(page) {
  nextBefore = page.next_before;
  showItems();
}

function showItems() {
  const isStored = found.some((each) => each.conversation_id === current);
  const all = isStored ? found : [{ conversation_id: current }, ...found];
  const wanted = search.value.trim().toLocaleLowerCase();
  const matching = all.filter((each) => titleOf(each).toLocaleLowerCase().includes(wanted));
  replaceItems(matching.map(item));
  older.hidden = !nextBefore || Boolean(wanted);
  noneFound.hidden = matching.length > 0;
  const title = titleOf(all.find((each) => each.conversation_id === current) ?? all[0]);
  heading.textContent = title;
  document.title = title === NEW ? "Chat" : `${title} · Chat`;
}

/** @param {api.Conversation} conversation */
function titleOf({ conversation_id: id, title, active_turn: active }) {
  if (title) return title;
  const question = running.get(id)?.turn.message ?? active?.message;
  if (question) return titleFrom(question);
  return found.some((each) => each.conversation_id === id) ? id : NEW;
}

/** Replace the list; a reader who is in it with the keyboard stays at the same control, or at its place.
 * @param {HTMLLIElement[]} items */
function replaceItems(items) {
  const focused = document.activeElement;
  const place = controls().findIndex((each) => each === focused);
  const opened = list.querySelector("details[open]")?.closest("li")?.dataset.id;
  const name = focused && nameOf(focused);
  list.replaceChildren(...items);
  list.querySelector(`li[data-id="${CSS.escape(opened ?? "")}"] details`)?.setAttribute("open", "");
  if (place < 0) return;
  (controls().find((each) => nameOf(each) === name) ?? controls()[place] ?? controls().at(-1))?.focus();
}

/** @returns {HTMLElement[]} */
const controls = () => [...list.querySelectorAll(/** @type {"a"} */ ("a, summary, button"))];
/** @param {Element} control */
const nameOf = (control) => `${control.closest("li")?.dataset.id} ${control.tagName} ${control.tagName === "A" || control.textContent}`;

/** @param {api.Conversation} conversation */
function item(conversation) {
  const { conversation_id: id, updated_at: updatedAt, active_turn: active } = conversation;
  const title = titleOf(conversation);
  const isAnswering = running.isRunning(id) || Boolean(active);
  const detail = isAnswering ? "answering…" : updatedAt ? shortDay(updatedAt) : "";
  const link = make("a", { href: addressOf(id) }, make("span", { dir: "auto" }, title), make("small", {}, detail));
  if (id === current) link.setAttribute("aria-current", "page");
  const made = make("li", {}, link);
  made.dataset.id = id;
  if (updatedAt || isAnswering) made.append(menuOf(id, title));
  return made;
}

/** @param {string} id @param {string} title */
function menuOf(id, title) {
  const buttons = actions.map(([label, act, className]) =>
    button(label, () => {
      closeMenus(null);
      act(id, title);
    }, className),
  );
  const summary = make("summary", { ariaLabel: `Options for ${title}` }, "⋯");
  return make("details", { className: "menu" }, summary, make("div", {}, ...buttons));
}

/** @param {EventTarget | null} within */
function closeMenus(within) {
  for (const each of list.querySelectorAll("details[open]")) {
    if (!(within instanceof Node && each.contains(within))) each.removeAttribute("open");
  }
}
