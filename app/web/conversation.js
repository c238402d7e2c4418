// The conversation that is open: its messages, and what is asked in it.

import * as api from "./api.js";
import * as composer from "./composer.js";
import { find } from "./elements.js";
import * as log from "./log.js";
import { storedMessages } from "./messages.js";
import { notice, setStatus } from "./notices.js";
import * as running from "./running.js";
import { openSettings } from "./settings.js";
import { randomId } from "./storage.js";
import { announceChange } from "./tabs.js";
import { Turn } from "./turn.js";

const GONE = ["turn_expired", "turn_not_found", "conversation_deleted"];

const earlier = find("#earlier-messages", HTMLButtonElement);

let current = "default";
let opened = 0;
/** Called when the list of conversations has changed. @type {() => void} */
let onListChange = () => {};

export const currentId = () => current;

/** @param {() => void} onChange */
export function wireConversation(onChange) {
  onListChange = onChange;
}

/** Return the conversation that the address names; an address without one names `default`. */
export function conversationInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || "default";
  } catch {
    return "default";
  }
}

/** @param {string} conversationId */
export async function open(conversationId) {
  current = conversationId;
  const number = ++opened;
  log.clear();
  earlier.hidden = true;
  log.showLoading();
  composer.openDraft(conversationId);
  showState();
  try {
    const page = await api.conversation(conversationId);
    if (number === opened) show(page); // otherwise another one has been opened
  } catch (error) {
    if (number === opened) report(error, () => open(conversationId));
  }
  onListChange();
}

/** @param {import("./api.js").Page} page */
function show(page) {
  log.showLoaded();
  log.clear();
  const own = running.get(current);
  // A turn that this tab follows shows itself, also if it has ended by now.
  const rest = page.messages.filter((each) => !own?.turn.id || each.turn_id !== own.turn.id);
  log.append(...storedMessages(rest), ...(own?.exchange.elements ?? []));
  offerEarlier(current, page.next_before);
  if (page.active_turn && !own) followActive(page.active_turn);
  log.showWelcome(log.isEmpty());
}

/** @param {import("./api.js").ActiveTurn} active */
function followActive({ turn_id: id, message, created_at: askedAt }) {
  begin(new Turn({ conversationId: current, message, id, askedAt }));
}

/** @param {string} conversationId @param {string | null} before */
function offerEarlier(conversationId, before) {
  earlier.hidden = !before;
  const fetchEarlier = async () => {
    const page = await api.conversation(conversationId, { before });
    if (conversationId !== current) return;
    log.prepend(...storedMessages(page.messages));
    offerEarlier(conversationId, page.next_before);
  };
  earlier.onclick = () => attempt(fetchEarlier);
}

/** Show what another tab or device has done with the conversation since. */
export async function catchUp() {
  // An alert stays beside what is perhaps not stored.
  if (document.hidden || running.get(current) || log.hasAlert()) return;
  const conversationId = current;
  const page = await api.conversation(conversationId).catch(() => null);
  if (!page || conversationId !== current || running.get(conversationId)) return;
  if (page.messages.at(-1)?.turn_id !== log.lastTurn()) show(page);
  else if (page.active_turn) followActive(page.active_turn);
}

/** Do something that the service may refuse; then say so, and offer to do it again.
 * @param {() => Promise<void>} act */
export async function attempt(act) {
  try {
    await act();
  } catch (error) {
    report(error, () => attempt(act));
  }
}

/** @param {unknown} error @param {() => void} again */
function report(error, again) {
  log.showLoaded();
  if (statusOf(error) === 401) openSettings();
  const retryAfter = error instanceof api.ServiceError ? error.retryAfter : 0;
  const actAgain = () => {
    found.remove();
    again();
  };
  const found = notice(messageOf(error), [["Try again", actAgain], ...settingsFor(error)], retryAfter);
  log.append(found);
}

/** Begin anew, as another user or after everything was erased. */
export function startAfresh() {
  for (const conversationId of running.conversationIds()) running.forget(conversationId);
  open(current);
}

/** @param {string} message @param {{mayInterrupt?: boolean, idempotencyKey?: string}} [how] */
export function ask(message, { mayInterrupt = false, idempotencyKey = randomId() } = {}) {
  running.forget(current);
  begin(new Turn({ conversationId: current, message, mayInterrupt, idempotencyKey, model: composer.model() }));
  log.goToEnd();
}

/** @param {Turn} turn */
export function begin(turn) {
  const { conversationId } = turn;
  const onStart = () => {
    announceChange(conversationId);
    onListChange();
  };
  running.begin(turn, { onChange: showState, onStart, onEnd: finish }, conversationId === current);
  onListChange();
}

/** @param {running.Entry} entry @param {unknown} failure */
function finish(entry, failure) {
  const { turn } = entry;
  if (turn.hasLeft) {
    takeBack(entry);
  } else if (failure instanceof api.ServiceError && GONE.includes(failure.code)) {
    // As a stream, or at all: the conversation tells what there is.
    running.forget(turn.conversationId);
    if (turn.conversationId === current) open(current);
  } else if (failure && !turn.id) {
    explain(entry, failure);
  } else {
    running.settle(entry, failure ? `This is not the whole answer, or it is not stored: ${messageOf(failure)}` : "");
  }
  if (statusOf(failure) === 401) openSettings();
  showState();
  onListChange();
}

/** Say why a question was not taken, and offer what can be done about it.
 * @param {running.Entry} entry @param {unknown} failure */
function explain(entry, failure) {
  const { turn, exchange } = entry;
  const { code = "", retryAfter = 0 } = failure instanceof api.ServiceError ? failure : {};
  // With the same key: a turn that did start, unseen, is then followed and no second one made.
  const again = () => ask(turn.message, turn);
  /** @type {[string, () => void][]} */
  const actions = [["Try again", again], ["Edit", () => takeBack(entry)]];
  if (code === "conversation_busy") {
    actions.splice(0, 1, ["Show the running answer", () => attach(entry)]);
    actions.push(["Interrupt it and ask", () => ask(turn.message, { mayInterrupt: true })]);
  }
  exchange.notice(messageOf(failure), [...actions, ...settingsFor(failure)], retryAfter);
}

/** Take a question back into the composer.
 * @param {running.Entry} entry */
function takeBack({ turn }) {
  running.forget(turn.conversationId);
  composer.restoreDraft(turn.conversationId, turn.message);
  showState();
  log.showWelcome(turn.conversationId === current && log.isEmpty());
}

/** Show what another tab or device has asked, and leave this tab's own question for later.
 * @param {running.Entry} entry */
function attach(entry) {
  takeBack(entry);
  open(entry.turn.conversationId);
}

export async function stop() {
  const entry = running.get(current);
  composer.focus();
  try {
    await entry?.turn.stop();
  } catch (error) {
    setStatus(`The answer could not be stopped: ${messageOf(error)}`);
  }
}

/** Show what can be done now, and what goes on. */
function showState() {
  const entry = running.get(current);
  const isRunning = entry?.isRunning ?? false;
  composer.showRunning(isRunning);
  document.body.classList.toggle("running", isRunning);
  setStatus(entry && isRunning ? activityOf(entry.turn) : "");
}

/** @param {Turn} turn */
function activityOf({ isLost, text, thinking }) {
  if (isLost) return "Connection lost. Reconnecting…";
  return thinking && !text ? "Thinking…" : "Answering…";
}

/** @param {unknown} error */
const statusOf = (error) => (error instanceof api.ServiceError ? error.status : 0);
/** @param {unknown} error */
const messageOf = (error) => (error instanceof api.ServiceError ? error.message : "The service cannot be reached.");

/** @param {unknown} error @returns {[string, () => void][]} */
const settingsFor = (error) => ([401, 403].includes(statusOf(error)) ? [["Settings", openSettings]] : []);
