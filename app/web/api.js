// The service's endpoints. Addresses are relative: the page works below a proxy's path, too.

import { key, userId } from "./store.js";

/** What the service answered instead; `code` is one of those that /docs lists. */
export class ServiceError extends Error {
  constructor({ message, code, turn_id: turnId = null, status = 200, retryAfter = 0 }) {
    super(message);
    Object.assign(this, { code, turnId, status, retryAfter });
  }
}

export function ask({ conversationId, message, idempotencyKey, mayInterrupt }, signal) {
  return request("POST", "chat", {
    signal,
    headers: { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey },
    body: JSON.stringify({
      user_id: userId(),
      conversation_id: conversationId,
      message,
      if_busy: mayInterrupt ? "interrupt" : "reject",
    }),
  });
}

export function follow(turnId, lastEventId, signal) {
  return request("GET", `chat/${turnId}`, { signal, headers: lastEventId ? { "Last-Event-ID": lastEventId } : {} });
}

export function stop(turnId) {
  return request("DELETE", `chat/${turnId}`);
}

export async function conversations(before) {
  return (await request("GET", `${mine()}${query(before)}`)).json();
}

/** A page of a conversation; one that nothing is kept of is empty. */
export async function conversation(conversationId, before) {
  try {
    return await (await request("GET", `${mine()}/${encodeURIComponent(conversationId)}${query(before)}`)).json();
  } catch (error) {
    if (error.code !== "conversation_not_found") throw error;
    return { messages: [], active_turn: null, next_before: null };
  }
}

export function deleteConversation(conversationId) {
  return request("DELETE", `${mine()}/${encodeURIComponent(conversationId)}`);
}

export function eraseUser() {
  return request("DELETE", me());
}

const me = () => `users/${encodeURIComponent(userId())}`;
const mine = () => `${me()}/conversations`;
const query = (before) => (before ? `?before=${encodeURIComponent(before)}` : "");

async function request(method, path, { headers = {}, ...rest } = {}) {
  const credential = key() ? { Authorization: `Bearer ${key()}` } : {};
  const response = await fetch(path, { method, cache: "no-store", headers: { ...credential, ...headers }, ...rest });
  if (!response.ok) throw await failureOf(response);
  return response;
}

async function failureOf(response) {
  const { status } = response;
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  // A proxy in front answers in a form of its own.
  const { error } = await response.json().catch(() => ({}));
  return new ServiceError({ message: `The service answered ${status}.`, code: "", ...error, status, retryAfter });
}
