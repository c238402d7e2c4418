// Who asks, and which models may answer.

import { chosenUserId } from "./storage.js";

/** @typedef {{user_id: string | null, models: string[], default_model: string}} Account */

/** @type {Account} */
let account = { user_id: null, models: [], default_model: "" };

/** Take over what the service says of the key. @param {Partial<Account>} told */
export function setAccount(told) {
  account = { user_id: null, models: [], default_model: "", ...told };
}

/** Return the one user that the key is for, or null if it may speak for any. */
export const boundUserId = () => account.user_id;

/** Return the user in whose name this page speaks. */
export const userId = () => account.user_id ?? chosenUserId();

export const models = () => account.models;
export const defaultModel = () => account.default_model;
