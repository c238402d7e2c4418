// What outlives a reload: who asks, for good; the key and the running turns, as long as the tab.

const USER = "chat.user";
const KEY = "chat.key";
const TURNS = "chat.turns";

export function randomId() {
  // Not randomUUID, which browsers have on https and localhost alone.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The user's id; a random one at first, as whoever knows it may read what is kept under it. */
export function userId() {
  if (!localStorage.getItem(USER)) setUserId(`web-${randomId()}`);
  return localStorage.getItem(USER);
}

export function setUserId(id) {
  localStorage.setItem(USER, id);
}

/** `act` once another tab has made itself, and so this one, another user's. */
export function whenUserChanges(act) {
  window.addEventListener("storage", (event) => {
    if (event.key === USER) act();
  });
}

export function key() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function setKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** The turns that were running, each with its texts and the id of the event that ended it. */
export function keptTurns() {
  return JSON.parse(sessionStorage.getItem(TURNS) ?? "[]");
}

export function keepTurns(turns) {
  try {
    sessionStorage.setItem(TURNS, JSON.stringify(turns));
  } catch {
    // It is full. What was kept before stays true: a resumed turn only gets more events again.
  }
}
