// One turn, followed to its end over as many connections as that takes.

import * as api from "./api.js";
import { Connection } from "./connection.js";
import { partsOf } from "./delta.js";
import { eventsOf } from "./events.js";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;
const STOP_PATIENCE = 1000;

// A browser has six connections to a host for all its tabs, so a hidden tab holds none. It looks in now and then:
// a turn that has no reader for too long is interrupted.
const LOOK_EVERY = 20_000;
const LOOK_FOR = 2000;

/**
 * @typedef {object} TurnState
 * @property {string} conversationId
 * @property {string} message
 * @property {string} [idempotencyKey]
 * @property {boolean} [mayInterrupt]
 * @property {string} [model]
 * @property {string | null} [id]
 * @property {string} [lastEventId]
 * @property {string} [text]
 * @property {string} [thinking]
 * @property {string | null} [finishReason]
 * @property {number} [unreadable]
 * @property {string} [askedAt]
 */

export class Turn {
  #left = new AbortController();
  /** @type {Connection | null} */
  #connection = null;

  /** A question to ask (`idempotencyKey`), or a turn that runs already (`id`), from where it was left.
   * @param {TurnState} state */
  constructor(state) {
    this.conversationId = state.conversationId;
    this.message = state.message;
    this.idempotencyKey = state.idempotencyKey ?? "";
    this.mayInterrupt = state.mayInterrupt ?? false;
    this.model = state.model ?? "";
    this.id = state.id ?? null;
    this.lastEventId = state.lastEventId ?? "";
    this.text = state.text ?? "";
    this.thinking = state.thinking ?? "";
    this.finishReason = state.finishReason ?? null;
    this.unreadable = state.unreadable ?? 0;
    this.askedAt = state.askedAt ?? new Date().toISOString();
    this.droppedMessages = 0;
    this.isLost = false;
  }

  get hasLeft() {
    return this.#left.signal.aborted;
  }

  /**
   * Follow the turn to its end; `onChange` is called at every change.
   * Throws a ServiceError if the turn did not start, or its answer is not whole.
   * @param {() => void} onChange
   */
  async run(onChange) {
    for (let attempt = 0; ; attempt++) {
      let wait = 0;
      try {
        const before = this.lastEventId;
        if (await this.#followOnce(onChange)) return;
        if (this.lastEventId !== before) attempt = 0;
      } catch (error) {
        if (this.hasLeft) return;
        // Only the connection breaks and comes back: what the service says of the turn stands.
        if (error instanceof api.ServiceError) {
          if (!this.id || error.status < 500) throw error;
          wait = error.retryAfter * 1000;
        }
      }
      if (document.hidden && this.id) {
        await pause(LOOK_EVERY, this.#left.signal, [document, "visibilitychange"]);
        attempt = -1;
      } else {
        this.isLost = true;
        onChange();
        await pause(Math.max(wait, jittered(attempt)), this.#left.signal, [window, "online"]);
      }
      if (this.hasLeft) return;
    }
  }

  /** Stop the turn; its stream then ends. A question that has no turn yet is withdrawn. */
  async stop() {
    if (!this.id) {
      this.leave();
      return;
    }
    // If other tabs hold all connections that the browser has to this host, this tab's own makes way.
    const makingWay = setTimeout(() => this.#connection?.close(), STOP_PATIENCE);
    try {
      await api.stop(this.id);
    } finally {
      clearTimeout(makingWay);
    }
  }

  /** Follow the turn no longer. */
  leave() {
    this.#left.abort();
  }

  /** Return what a reload needs to go on from here. */
  toJSON() {
    const { conversationId, message, idempotencyKey, mayInterrupt, model, id, lastEventId } = this;
    const { text, thinking, finishReason, unreadable, askedAt } = this;
    return {
      ...{ conversationId, message, idempotencyKey, mayInterrupt, model, id, lastEventId },
      ...{ text, thinking, finishReason, unreadable, askedAt },
    };
  }

  /** Follow over one connection, and return whether the turn has ended.
   * @param {() => void} onChange */
  async #followOnce(onChange) {
    const connection = new Connection(this.#left.signal);
    this.#connection = connection;
    const closeWhenHidden = () => {
      // Not before the turn has an id: the service takes back a start whose client leaves.
      if (document.hidden && this.id) connection.close();
    };
    document.addEventListener("visibilitychange", closeWhenHidden);
    let look = 0;
    try {
      // The same Idempotency-Key every time: a question whose status was lost is not asked twice.
      const response = this.id
        ? await api.follow(this.id, this.lastEventId, connection.signal)
        : await api.ask(this, connection.signal);
      if (response.status === 204 || !response.body) return true;
      this.id = response.headers.get("X-Turn-Id");
      this.droppedMessages = Number(response.headers.get("X-History-Trimmed")) || 0;
      this.isLost = false;
      onChange();
      if (document.hidden) look = setTimeout(closeWhenHidden, LOOK_FOR);
      for await (const event of eventsOf(connection.watch(response.body))) {
        if (event.data === "[DONE]") return true;
        this.#take(event);
        onChange();
      }
      return false;
    } finally {
      clearTimeout(look);
      document.removeEventListener("visibilitychange", closeWhenHidden);
      connection.close();
    }
  }

  /** @param {{id: string, data: string}} event */
  #take({ id, data }) {
    const chunk = objectIn(data);
    if (chunk?.error) throw new api.ServiceError(chunk.error);
    const { text, thinking, finishReason } = partsOf(chunk ?? {});
    // In one step, so that a stored text and its place in the stream always fit together.
    this.text += text;
    this.thinking += thinking;
    this.finishReason = finishReason ?? this.finishReason;
    if (!chunk) this.unreadable++; // to fetch it again would give the same
    this.lastEventId = id;
  }
}

/** @param {string} data */
function objectIn(data) {
  try {
    const found = JSON.parse(data);
    return typeof found === "object" ? found : null;
  } catch {
    return null;
  }
}

/** @param {number} attempt */
function jittered(attempt) {
  return Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.max(0, attempt)) * (0.5 + Math.random() / 2);
}

/** Wait, at most until the event comes.
 * @param {number} milliseconds @param {AbortSignal} signal @param {[EventTarget, string]} until */
function pause(milliseconds, signal, [target, event]) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      target.removeEventListener(event, done);
      signal.removeEventListener("abort", done);
      resolve(undefined);
    };
    const timer = setTimeout(done, milliseconds);
    target.addEventListener(event, done);
    signal.addEventListener("abort", done);
  });
}
