// The service's endpoints. Addresses are relative: the page also works below a proxy's path.

import { userId } from "./account.js";
import { key } from "./storage.js";

/**
 * @typedef {object} Message
 * @property {"user" | "assistant"} role
 * @property {string} content
 * @property {string} turn_id
 * @property {string} created_at
 * @property {"complete" | "stopped" | "interrupted" | "error"} [status]
 * @property {string} [model]
 * @property {string | null} [finish_reason]
 * @property {Record<string, any> | null} [usage]
 * @property {boolean} [usage_estimated]
 *
 * @typedef {{turn_id: string, message: string, created_at: string}} ActiveTurn
 *
 * @typedef {object} Conversation
 * @property {string} conversation_id
 * @property {string | null} [title]
 * @property {string} [updated_at]
 * @property {ActiveTurn | null} [active_turn]
 *
 * @typedef {{conversations: Conversation[], next_before: string | null}} ConversationList
 * @typedef {{messages: Message[], active_turn: ActiveTurn | null, next_before: string | null}} Page
 */

/** The service's refusal; `code` is one of those that /docs lists. */
export class ServiceError extends Error {
  /** @param {{message: string, code: string, status?: number, retryAfter?: number}} error */
  constructor({ message, code, status = 200, retryAfter = 0 }) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** @param {import("./turn.js").Turn} turn @param {AbortSignal} signal */
export function ask({ conversationId, message, idempotencyKey, mayInterrupt, model }, signal) {
  return request("POST", "chat", {
    signal,
    headers: { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey },
    body: JSON.stringify({
      user_id: userId(),
      conversation_id: conversationId,
      message,
      if_busy: mayInterrupt ? "interrupt" : "reject",
      ...(model ? { model } : {}),
    }),
  });
}

/** @param {string} turnId @param {string} lastEventId @param {AbortSignal} signal */
export function follow(turnId, lastEventId, signal) {
  const headers = lastEventId ? { "Last-Event-ID": lastEventId } : undefined;
  return request("GET", `chat/${turnId}`, { signal, headers });
}

/** @param {string} turnId */
export function stop(turnId) {
  return request("DELETE", `chat/${turnId}`);
}

/** @returns {Promise<import("./account.js").Account>} */
export async function account() {
  return (await request("GET", "account")).json();
}

/** @param {{before?: string | null, limit?: number}} [range] @returns {Promise<ConversationList>} */
export async function conversations(range) {
  return (await request("GET", `${mine()}${query(range)}`)).json();
}

/** Return a page of a conversation; an unknown conversation is empty.
 * @param {string} conversationId @param {{before?: string | null, limit?: number}} [range] @returns {Promise<Page>} */
export async function conversation(conversationId, range) {
  try {
    return await (await request("GET", `${addressOf(conversationId)}${query(range)}`)).json();
  } catch (error) {
    if (!(error instanceof ServiceError) || error.code !== "conversation_not_found") throw error;
    return { messages: [], active_turn: null, next_before: null };
  }
}

/** @param {string} conversationId @param {string} title */
export function renameConversation(conversationId, title) {
  return request("PATCH", addressOf(conversationId), {
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ title }),
  });
}

/** @param {string} conversationId */
export function deleteConversation(conversationId) {
  return request("DELETE", addressOf(conversationId));
}

export function eraseUser() {
  return request("DELETE", me());
}

const me = () => `users/${encodeURIComponent(userId())}`;
const mine = () => `${me()}/conversations`;
/** @param {string} conversationId */
const addressOf = (conversationId) => `${mine()}/${encodeURIComponent(conversationId)}`;

/** @param {{before?: string | null, limit?: number}} [range] */
function query({ before, limit } = {}) {
  const given = Object.entries({ before, limit }).filter(([, value]) => value);
  return given.length > 0 ? `?${given.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join("&")}` : "";
}

/** @param {string} method @param {string} path @param {RequestInit} [init] */
async function request(method, path, { headers = {}, ...rest } = {}) {
  const sent = new Headers(headers);
  if (key()) sent.set("Authorization", `Bearer ${key()}`);
  const response = await fetch(path, { method, cache: "no-store", headers: sent, ...rest });
  if (!response.ok) throw await failureOf(response);
  return response;
}

/** @param {Response} response */
async function failureOf(response) {
  const { status } = response;
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  // A proxy in front answers in a form of its own.
  const error = (await response.json().catch(() => null))?.error;
  return new ServiceError({ message: `The service answered ${status}.`, code: "", ...error, status, retryAfter });
}
