// Wires the page: which conversation is open, and what runs in it.

import * as api from "./api.js";
import * as composer from "./composer.js";
import { confirmed } from "./confirm.js";
import { unhurried } from "./paint.js";
import { openSettings, wireSettings } from "./settings.js";
import * as sidebar from "./sidebar.js";
import { keepTurns, keptTurns, randomId } from "./store.js";
import { Turn } from "./turn.js";
import * as view from "./view.js";

const KEEP_EVERY = 250;
const KEPT_NO_LONGER = ["turn_expired", "turn_not_found", "conversation_deleted"];

const earlier = document.querySelector("#earlier-messages");

/** By conversation, what runs in this tab, or did not start: `{turn, exchange, isRunning}`. */
const running = new Map();
let current = conversationInAddress();
let opened = 0;
let keepTimer = 0;

function conversationInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || "default";
  } catch {
    return "default";
  }
}

async function open(conversationId) {
  current = conversationId;
  const number = ++opened;
  view.clear();
  earlier.hidden = true;
  showState();
  try {
    const page = await api.conversation(conversationId);
    if (number !== opened) return; // another one has been opened
    const own = running.get(conversationId);
    // A turn that this tab follows shows itself, also where it has ended by now.
    const others = page.messages.filter((each) => !own?.turn.id || each.turn_id !== own.turn.id);
    view.append(...others.map(view.message), ...(own?.exchange.elements ?? []));
    offerEarlier(conversationId, page.next_before);
    const active = page.active_turn;
    if (active && !own) begin(new Turn({ conversationId, message: active.message, id: active.turn_id }));
  } catch (error) {
    if (number === opened) report(error, () => open(conversationId));
  }
  refreshSidebar();
}

function offerEarlier(conversationId, before) {
  earlier.hidden = !before;
  const fetchEarlier = async () => {
    const page = await api.conversation(conversationId, before);
    if (conversationId !== current) return;
    view.prepend(...page.messages.map(view.message));
    offerEarlier(conversationId, page.next_before);
  };
  earlier.onclick = () => attempt(fetchEarlier);
}

function report(error, again) {
  if (error.status === 401) openSettings();
  const reason = error instanceof api.ServiceError ? error.message : "The service cannot be reached.";
  const actAgain = () => {
    found.remove();
    again();
  };
  const found = view.notice(reason, [["Try again", actAgain], ...settingsFor(error)], error.retryAfter);
  view.append(found);
}

/** Another tab or device may have gone on with it, or deleted it, while nobody looked at this one. */
async function catchUp() {
  const conversationId = current;
  const page = await api.conversation(conversationId).catch(() => null);
  if (!page || conversationId !== current || running.has(conversationId)) return;
  if (page.active_turn || page.messages.at(-1)?.turn_id !== view.lastTurn()) open(conversationId);
}

function refreshSidebar() {
  // It tells nothing that the messages do not; they say what is wrong.
  sidebar.refresh(current, deleteConversation).catch(() => {});
}

async function deleteConversation(conversationId) {
  const consequence = `All that was said in “${conversationId}” is deleted. This cannot be undone.`;
  if (!(await confirmed("Delete the conversation?", consequence, "Delete"))) return;
  const remove = async () => {
    await api.deleteConversation(conversationId);
    forget(conversationId);
    if (conversationId === current) open(current);
    else refreshSidebar();
  };
  attempt(remove);
}

function eraseEverything() {
  attempt(async () => {
    await api.eraseUser();
    startAfresh();
    view.setStatus("Everything is erased.");
  });
}

async function attempt(act) {
  try {
    await act();
  } catch (error) {
    report(error, () => attempt(act));
  }
}

function startAfresh() {
  for (const conversationId of [...running.keys()]) forget(conversationId);
  open(current);
}

function ask(message, { mayInterrupt = false, idempotencyKey = randomId() } = {}) {
  forget(current);
  begin(new Turn({ conversationId: current, message, mayInterrupt, idempotencyKey }));
  view.goToEnd();
}

/** Follow a turn to its end, whichever conversation is open meanwhile. */
async function begin(turn) {
  const entry = { turn, exchange: new view.Exchange(turn.message), isRunning: true };
  running.set(turn.conversationId, entry);
  if (turn.conversationId === current) view.append(...entry.exchange.elements);
  const paint = unhurried(() => {
    if (entry.isRunning) show(entry);
  });
  showState();
  keep();
  let failure = null;
  try {
    await turn.run(() => {
      paint();
      keepSoon();
    });
  } catch (error) {
    failure = error;
  }
  entry.isRunning = false;
  if (running.get(turn.conversationId) !== entry) return; // it was given up
  finish(entry, failure);
  if (failure?.status === 401) openSettings();
  keep();
  showState();
  refreshSidebar();
}

function show({ turn, exchange }) {
  if (turn.id) {
    exchange.start(turn);
    exchange.think(turn.thinking);
    exchange.show(turn.text);
  }
  view.stayAtEnd();
  showState();
}

function finish(entry, failure) {
  const { turn, exchange } = entry;
  if (turn.hasLeft) {
    edit(entry);
  } else if (KEPT_NO_LONGER.includes(failure?.code)) {
    // As a stream, or at all: the conversation tells what there is.
    running.delete(turn.conversationId);
    if (turn.conversationId === current) open(current);
  } else if (failure && !turn.id) {
    explain(entry, failure);
  } else {
    running.delete(turn.conversationId);
    show(entry);
    exchange.end(failure && `This is not the whole answer, or it is not kept: ${failure.message}`);
    view.announce(exchange.text);
  }
  view.stayAtEnd();
}

/** Say why a question was not taken, and offer what can be done about it. */
function explain(entry, failure) {
  const { turn, exchange } = entry;
  // With the same key: a turn that did start, unseen, is then followed and no second one made.
  const again = () => ask(turn.message, turn);
  const actions = [["Try again", again], ["Edit", () => edit(entry)]];
  if (failure.code === "conversation_busy") {
    const { conversationId } = turn;
    actions.splice(0, 1, ["Show the running answer", () => attach(conversationId)]);
    actions.push(["Interrupt it and ask", () => ask(turn.message, { mayInterrupt: true })]);
  }
  exchange.notice(failure.message, [...actions, ...settingsFor(failure)], failure.retryAfter);
}

const settingsFor = ({ status }) => ([401, 403].includes(status) ? [["Settings", openSettings]] : []);

function edit({ turn }) {
  forget(turn.conversationId);
  composer.giveBack(turn.message);
  showState();
}

/** Show what another tab or device has asked, and keep this tab's own question for later. */
function attach(conversationId) {
  edit(running.get(conversationId));
  open(conversationId);
}

function forget(conversationId) {
  const entry = running.get(conversationId);
  running.delete(conversationId);
  entry?.turn.leave();
  entry?.exchange.remove();
  keep();
}

async function stop() {
  const turn = running.get(current)?.turn;
  composer.focus();
  try {
    await turn?.stop();
  } catch (error) {
    view.setStatus(`The answer could not be stopped: ${error.message}`);
  }
}

/** What can be done now, and what goes on. */
function showState() {
  const { turn, isRunning = false } = running.get(current) ?? {};
  composer.showRunning(isRunning);
  view.setStatus(isRunning ? activityOf(turn) : "");
}

function activityOf({ isLost, text, thinking }) {
  if (isLost) return "Connection lost. Reconnecting…";
  return thinking && !text ? "Thinking…" : "Answering…";
}

/** Before the tab goes, and now and then, as a tab may go without a word. */
function keep() {
  clearTimeout(keepTimer);
  keepTimer = 0;
  keepTurns([...running.values()].filter((each) => each.isRunning).map((each) => each.turn));
}

function keepSoon() {
  keepTimer ||= setTimeout(keep, KEEP_EVERY);
}

composer.wireComposer((message) => {
  if (running.get(current)?.isRunning) return false;
  ask(message);
  return true;
}, stop);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  sidebar.toggle(false);
  if (running.get(current)?.isRunning) stop();
});
document.querySelector("#new-conversation").addEventListener("click", () => {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  location.hash = sidebar.addressOf(local.toISOString().slice(0, 19).replace("T", " "));
  composer.focus();
});
window.addEventListener("hashchange", () => {
  sidebar.toggle(false);
  open(conversationInAddress());
});
document.addEventListener("visibilitychange", () => {
  // An alert stands by what is perhaps not kept.
  if (!document.hidden && !running.has(current) && !view.hasAlert()) catchUp();
});
window.addEventListener("pagehide", keep);
wireSettings(startAfresh, eraseEverything);

for (const kept of keptTurns()) begin(new Turn(kept));
open(current);
