// What the tabs of one browser tell each other.

import { userId } from "./account.js";

/** Older browsers have none; they notice at the next focus. */
const channel = "BroadcastChannel" in window ? new BroadcastChannel("chat") : null;

/** Tell the other tabs that a conversation, or the list of them, has changed.
 * @param {string} conversationId */
export function announceChange(conversationId) {
  channel?.postMessage({ user: userId(), conversationId });
}

/** Call `act` when another tab has changed a conversation.
 * @param {(conversationId: string) => void} act */
export function whenChanged(act) {
  channel?.addEventListener("message", ({ data }) => {
    if (data?.user === userId()) act(String(data.conversationId));
  });
}
