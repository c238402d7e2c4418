// What the browser stores. A browser that blocks site data throws; the page then remembers for the tab's life.

const USER = "chat.user";
const KEY = "chat.key";
const TURNS = "chat.turns";
const THEME = "chat.theme";
const MODEL = "chat.model";
const DRAFTS = "chat.drafts";

/** One of the browser's two stores, with a memory to fall back on. */
class Area {
  /** @type {Map<string, string | null>} Values that the browser did not take. */
  #memory = new Map();
  #open;

  /** @param {() => Storage} open */
  constructor(open) {
    this.#open = open;
  }

  /** @param {string} name */
  get(name) {
    if (this.#memory.has(name)) return this.#memory.get(name) ?? null;
    try {
      return this.#open().getItem(name);
    } catch {
      return null;
    }
  }

  /** @param {string} name @param {string | null} value */
  set(name, value) {
    try {
      if (value === null) this.#open().removeItem(name);
      else this.#open().setItem(name, value);
      this.#memory.delete(name);
    } catch {
      this.#memory.set(name, value); // blocked, or full
    }
  }

  /** Read a JSON value; what another release or another page has written may be anything.
   * @param {string} name @returns {unknown} */
  getJson(name) {
    try {
      return JSON.parse(this.get(name) ?? "null");
    } catch {
      return null;
    }
  }
}

const forGood = new Area(() => localStorage);
const forTheTab = new Area(() => sessionStorage);

export function randomId() {
  // Not randomUUID: browsers have it on https and localhost alone.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Return the id that this browser chose. It is random at first: a client that knows it can read what is stored under it. */
export function chosenUserId() {
  const found = forGood.get(USER);
  if (found) return found;
  const made = `web-${randomId()}`;
  forGood.set(USER, made);
  return made;
}

/** @param {string} id */
export function chooseUserId(id) {
  forGood.set(USER, id);
}

/** Call `act` once another tab has chosen another user.
 * @param {() => void} act */
export function whenUserChanges(act) {
  window.addEventListener("storage", (event) => {
    if (event.key === USER) act();
  });
}

export const key = () => forTheTab.get(KEY) ?? "";
/** @param {string} value */
export const setKey = (value) => forTheTab.set(KEY, value);

export const theme = () => forGood.get(THEME) ?? "";
/** @param {string} value */
export const setTheme = (value) => forGood.set(THEME, value || null);

export const chosenModel = () => forGood.get(MODEL) ?? "";
/** @param {string} value */
export const chooseModel = (value) => forGood.set(MODEL, value);

/** Return the turns that were running when the tab went, each with its text and the id of its last event.
 * @returns {import("./turn.js").TurnState[]} */
export function storedTurns() {
  const found = forTheTab.getJson(TURNS);
  return Array.isArray(found) ? found : [];
}

/** @param {{toJSON(): object}[]} turns */
export function storeTurns(turns) {
  // If the store is full the memory takes it. An older copy stays behind, and is still true: a reload then
  // only fetches more events again.
  forTheTab.set(TURNS, JSON.stringify(turns));
}

/** Return the user's drafts, by conversation.
 * @param {string} user @returns {Map<string, string>} */
export function storedDrafts(user) {
  const found = /** @type {any} */ (forGood.getJson(DRAFTS));
  return found?.user === user && Array.isArray(found.drafts) ? new Map(found.drafts) : new Map();
}

/** @param {string} user @param {Map<string, string>} drafts */
export function storeDrafts(user, drafts) {
  forGood.set(DRAFTS, drafts.size > 0 ? JSON.stringify({ user, drafts: [...drafts] }) : null);
}
