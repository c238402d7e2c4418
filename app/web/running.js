// The turns that this tab follows, one a conversation, each to its end, whichever conversation is open meanwhile.

import * as api from "./api.js";
import { Exchange } from "./exchange.js";
import * as log from "./log.js";
import { announce } from "./notices.js";
import { throttled } from "./paint.js";
import { storeTurns } from "./storage.js";
import { Turn } from "./turn.js";

const STORE_EVERY = 250;

/** @typedef {{turn: Turn, exchange: Exchange, isRunning: boolean}} Entry */

/**
 * What the page does at the steps of a turn.
 * @typedef {object} Steps
 * @property {(entry: Entry) => void} onChange the state of a running turn has changed
 * @property {(entry: Entry) => void} onStart the service runs the turn
 * @property {(entry: Entry, failure: unknown) => void} onEnd it has ended, or did not start
 */

/** @type {Map<string, Entry>} What runs, or did not start, by conversation. */
const entries = new Map();
let storeTimer = 0;

/** @param {string} conversationId */
export const get = (conversationId) => entries.get(conversationId);
/** @param {string} conversationId */
export const isRunning = (conversationId) => entries.get(conversationId)?.isRunning ?? false;
export const conversationIds = () => [...entries.keys()];

/** Follow a turn to its end.
 * @param {Turn} turn @param {Steps} steps @param {boolean} isShown whether its conversation is open */
export async function begin(turn, { onChange, onStart, onEnd }, isShown) {
  const entry = { turn, exchange: new Exchange(turn), isRunning: true };
  entries.set(turn.conversationId, entry);
  if (isShown) log.append(...entry.exchange.elements);
  const paint = throttled(() => {
    if (!entry.isRunning) return;
    entry.exchange.show();
    log.stayAtEnd();
    onChange(entry);
  });
  onChange(entry);
  storeNow();
  let failure = null;
  let hasStarted = false;
  try {
    await turn.run(() => {
      if (turn.id && !hasStarted) onStart(entry);
      hasStarted ||= turn.id !== null;
      paint();
      storeSoon();
    });
  } catch (error) {
    failure = error;
  }
  entry.isRunning = false;
  if (entries.get(turn.conversationId) !== entry) return; // another question took its place
  onEnd(entry, failure);
  storeNow();
  log.stayAtEnd();
}

/** Show a turn's end, and have it be a message like any other.
 * @param {Entry} entry @param {string} [failure] */
export async function settle({ turn, exchange }, failure) {
  entries.delete(turn.conversationId);
  exchange.end(failure);
  announce(exchange.readableText);
  const page = await api.conversation(turn.conversationId, { limit: 2 }).catch(() => null);
  const stored = page?.messages.find((each) => each.turn_id === turn.id && each.role === "assistant");
  if (stored) exchange.describe(stored);
  log.stayAtEnd();
}

/** Leave a conversation's turn, and show nothing of it.
 * @param {string} conversationId */
export function forget(conversationId) {
  const entry = entries.get(conversationId);
  entries.delete(conversationId);
  entry?.turn.leave();
  entry?.exchange.remove();
  storeNow();
}

/** Store what runs: before the tab goes, and now and then, because a tab may go without a word. */
export function storeNow() {
  clearTimeout(storeTimer);
  storeTimer = 0;
  storeTurns([...entries.values()].filter((each) => each.isRunning).map((each) => each.turn));
}

function storeSoon() {
  storeTimer ||= setTimeout(storeNow, STORE_EVERY);
}
