// Wires the page: which conversation is open, and what runs in it.

import * as api from "./api.js";
import { openSettings, wireSettings } from "./settings.js";
import * as sidebar from "./sidebar.js";
import { keepTurns, keptTurns, randomId } from "./store.js";
import { Turn } from "./turn.js";
import * as view from "./view.js";

const KEEP_EVERY = 250;
const KEPT_NO_LONGER = ["turn_expired", "turn_not_found", "conversation_deleted"];

const composer = document.querySelector("#composer");
const input = document.querySelector("#message");
const sendButton = document.querySelector("#send");
const stopButton = document.querySelector("#stop");
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
    if (number === opened) reportLoading(error);
  }
  refreshSidebar();
}

function offerEarlier(conversationId, before) {
  earlier.hidden = !before;
  earlier.onclick = async () => {
    const page = await api.conversation(conversationId, before).catch(reportLoading);
    if (!page || conversationId !== current) return;
    view.prepend(...page.messages.map(view.message));
    offerEarlier(conversationId, page.next_before);
  };
}

function reportLoading(error) {
  if (error.status === 401) openSettings();
  const reason = error instanceof api.ServiceError ? error.message : "The service cannot be reached.";
  const found = view.notice(reason, [["Try again", () => open(current)]], error.retryAfter);
  view.append(found);
}

function refreshSidebar() {
  // It tells nothing that the messages do not; they say what is wrong.
  sidebar.refresh(current, deleteConversation).catch(() => {});
}

async function deleteConversation(conversationId) {
  if (!confirm(`Delete the conversation “${conversationId}” and all that was said in it?`)) return;
  try {
    await api.deleteConversation(conversationId);
  } catch (error) {
    reportLoading(error);
    return;
  }
  forget(conversationId);
  if (conversationId === current) open(current);
  else refreshSidebar();
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
  const paint = oncePerFrame(() => {
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
  keep();
  showState();
  refreshSidebar();
}

function show({ turn, exchange }) {
  if (turn.id) {
    exchange.start(turn);
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
  if ([401, 403].includes(failure.status)) actions.push(["Settings", openSettings]);
  if (failure.status === 401) openSettings();
  exchange.notice(failure.message, actions, failure.retryAfter);
}

/** Give the question back to whoever wrote it. */
function edit({ turn }) {
  forget(turn.conversationId);
  if (!input.value) input.value = turn.message;
  input.focus();
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
  input.focus();
  try {
    await turn?.stop();
  } catch (error) {
    view.setStatus(`The answer could not be stopped: ${error.message}`);
  }
}

/** What can be done now, and what goes on. */
function showState() {
  const entry = running.get(current);
  const isRunning = Boolean(entry?.isRunning);
  stopButton.hidden = !isRunning;
  sendButton.hidden = isRunning;
  const { isLost } = entry?.turn ?? {};
  view.setStatus(!isRunning ? "" : isLost ? "Connection lost. Reconnecting…" : "Answering…");
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

function oncePerFrame(paint) {
  let frame = 0;
  return () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      paint();
    });
  };
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const message = input.value;
  if (!message.trim() || running.get(current)?.isRunning) return;
  input.value = "";
  input.focus();
  ask(message);
});
input.addEventListener("keydown", (event) => {
  // While an input method composes a character, Enter is its own.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  sidebar.toggle(false);
  if (running.get(current)?.isRunning) stop();
});
stopButton.addEventListener("click", stop);
document.querySelector("#new-conversation").addEventListener("click", () => {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  location.hash = sidebar.addressOf(local.toISOString().slice(0, 19).replace("T", " "));
  input.focus();
});
window.addEventListener("hashchange", () => {
  sidebar.toggle(false);
  open(conversationInAddress());
});
window.addEventListener("pagehide", keep);
wireSettings(() => {
  for (const conversationId of [...running.keys()]) forget(conversationId);
  open(current);
});

for (const kept of keptTurns()) begin(new Turn(kept));
open(current);
