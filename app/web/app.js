// Wires the page.

import { setAccount, userId } from "./account.js";
import { wireActions } from "./actions.js";
import * as api from "./api.js";
import * as composer from "./composer.js";
import * as conversation from "./conversation.js";
import { confirmed, newTitle } from "./dialogs.js";
import { find } from "./elements.js";
import { exportJson, exportMarkdown } from "./export.js";
import { ready } from "./markdown.js";
import { setStatus } from "./notices.js";
import * as running from "./running.js";
import { wireSettings } from "./settings.js";
import * as sidebar from "./sidebar.js";
import { key, randomId, storeDrafts, storedTurns } from "./storage.js";
import { announceChange, whenChanged } from "./tabs.js";
import { Turn } from "./turn.js";
import { wireViewport } from "./viewport.js";
import { showGreeting, wireWelcome } from "./welcome.js";

const LOOKS_NEW = 12;

/** @param {string} message */
function ask(message) {
  if (running.isRunning(conversation.currentId())) return false;
  conversation.ask(message);
  return true;
}

function refreshSidebar() {
  // If it fails the messages say what is wrong, too.
  sidebar.refresh(conversation.currentId()).catch(() => {});
}

/** Learn whose the key is and which models there are. If that fails, the messages say what is wrong. */
async function identify() {
  const before = userId();
  setAccount((await api.account().catch(() => null)) ?? {});
  composer.showModels();
  showGreeting();
  return userId() !== before;
}

/** Begin anew with another user or key. */
async function startAfresh() {
  setAccount({});
  await identify();
  conversation.startAfresh();
}

/** @param {string} conversationId @param {string} title */
async function rename(conversationId, title) {
  const typed = await newTitle(title);
  if (typed === null || typed === title) return;
  conversation.attempt(async () => {
    await api.renameConversation(conversationId, typed);
    announceChange(conversationId);
    refreshSidebar();
  });
}

/** @param {string} conversationId @param {string} title */
async function remove(conversationId, title) {
  const consequence = `All that was said in “${title}” is deleted. This cannot be undone.`;
  if (!(await confirmed("Delete the conversation?", consequence, "Delete"))) return;
  conversation.attempt(async () => {
    await api.deleteConversation(conversationId);
    running.forget(conversationId);
    composer.forgetDraft(conversationId);
    announceChange(conversationId);
    if (conversationId === conversation.currentId()) conversation.open(conversationId);
    else refreshSidebar();
  });
}

function eraseEverything() {
  conversation.attempt(async () => {
    await api.eraseUser();
    storeDrafts(userId(), new Map());
    announceChange(conversation.currentId());
    conversation.startAfresh();
    setStatus("Everything is erased.");
  });
}

function startConversation() {
  location.hash = sidebar.addressOf(randomId().slice(0, LOOKS_NEW));
  sidebar.toggle(false);
  composer.focus();
}

composer.wireComposer(ask, conversation.stop);
conversation.wireConversation(refreshSidebar);
wireActions(ask);
wireWelcome(ask);
wireViewport();
wireSettings(startAfresh, eraseEverything);
sidebar.wireSidebar([
  ["Rename", rename],
  ["Export as Markdown", (id, title) => conversation.attempt(() => exportMarkdown(id, title))],
  ["Export as JSON", (id, title) => conversation.attempt(() => exportJson(id, title))],
  ["Delete", remove, "danger"],
]);
find("#new-conversation", HTMLButtonElement).addEventListener("click", startConversation);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  sidebar.toggle(false);
  if (running.isRunning(conversation.currentId())) conversation.stop();
});
window.addEventListener("hashchange", () => {
  sidebar.toggle(false);
  conversation.open(conversation.conversationInAddress());
});
whenChanged((conversationId) => {
  if (document.hidden) return;
  if (conversationId === conversation.currentId()) conversation.catchUp();
  refreshSidebar();
});

function lookAgain() {
  if (document.hidden) return;
  conversation.catchUp();
  refreshSidebar();
}

document.addEventListener("visibilitychange", lookAgain);
window.addEventListener("focus", lookAgain);
window.addEventListener("pagehide", running.storeNow);
ready.then((isThere) => {
  find("#plain-text", HTMLElement).hidden = isThere;
});

async function start() {
  // A key decides whose conversations to show; without one nothing has to wait.
  const identified = identify();
  if (key()) await identified;
  for (const stored of storedTurns()) conversation.begin(new Turn(stored));
  conversation.open(conversation.conversationInAddress());
  composer.focusAtLoad();
  // The service may know the user otherwise, as by a token that a proxy adds.
  if ((await identified) && !key()) conversation.startAfresh();
}

start();
