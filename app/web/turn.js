// One turn, followed to its end over as many connections as that takes.

import * as api from "./api.js";
import { textsOf } from "./delta.js";
import { eventsOf } from "./events.js";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;
const LONGEST_SILENCE = 45_000; // a line on which not even a ping comes is dead

export class Turn {
  #left = new AbortController();

  /** Either a question to ask (`idempotencyKey`), or a turn that runs already (`id`), from where it was left. */
  constructor({ conversationId, message, idempotencyKey, mayInterrupt = false, ...kept }) {
    Object.assign(this, { conversationId, message, idempotencyKey, mayInterrupt });
    Object.assign(this, { id: null, lastEventId: "", text: "", thinking: "" }, kept);
    this.trimmed = 0;
    this.isLost = false;
  }

  get hasLeft() {
    return this.#left.signal.aborted;
  }

  /**
   * Follow it to its end; `onChange` is told of every change.
   * Throws a ServiceError where the turn did not start, or its answer is not whole.
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
        // Only a line breaks and comes back: what the service says of the turn stands.
        if (error instanceof api.ServiceError && !(this.id && error.status >= 500)) throw error;
        wait = (error.retryAfter ?? 0) * 1000;
      }
      this.isLost = true;
      onChange();
      await pause(Math.max(wait, jittered(attempt)), this.#left.signal);
      if (this.hasLeft) return;
    }
  }

  /** Have it stopped; its stream then ends. A question that has no turn yet is withdrawn. */
  async stop() {
    if (this.id) await api.stop(this.id);
    else this.leave();
  }

  /** Follow it no longer. */
  leave() {
    this.#left.abort();
  }

  /** What a reload needs to go on from here. */
  toJSON() {
    const { conversationId, message, idempotencyKey, mayInterrupt, id, lastEventId, text, thinking } = this;
    return { conversationId, message, idempotencyKey, mayInterrupt, id, lastEventId, text, thinking };
  }

  async #followOnce(onChange) {
    const line = new Line(this.#left.signal);
    try {
      // The same Idempotency-Key every time: a question whose status was lost is not asked twice.
      const response = this.id
        ? await api.follow(this.id, this.lastEventId, line.signal)
        : await api.ask(this, line.signal);
      if (response.status === 204) return true;
      this.id = response.headers.get("X-Turn-Id");
      this.trimmed = Number(response.headers.get("X-History-Trimmed")) || 0;
      this.isLost = false;
      onChange();
      for await (const { id, data } of eventsOf(line.watch(response.body))) {
        if (data === "[DONE]") return true;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new api.ServiceError(chunk.error);
        const { text, thinking } = textsOf(chunk);
        // In one step, so that what is kept never has a text without its place, or the reverse.
        this.text += text;
        this.thinking += thinking;
        this.lastEventId = id;
        onChange();
      }
      return false;
    } finally {
      line.close();
    }
  }
}

/** A connection, given up when the network goes or nothing comes: TCP alone would wait for minutes. */
class Line {
  #ended = new AbortController();
  #giveUp = () => this.#ended.abort();
  #timer = 0;

  constructor(signal) {
    this.signal = AbortSignal.any([signal, this.#ended.signal]);
    window.addEventListener("offline", this.#giveUp);
    this.#heard();
  }

  watch(body) {
    const transform = (chunk, controller) => {
      this.#heard();
      controller.enqueue(chunk);
    };
    return body.pipeThrough(new TransformStream({ transform }));
  }

  close() {
    clearTimeout(this.#timer);
    window.removeEventListener("offline", this.#giveUp);
    this.#giveUp();
  }

  #heard() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#giveUp, LONGEST_SILENCE);
  }
}

function jittered(attempt) {
  return Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempt) * (0.5 + Math.random() / 2);
}

/** Wait; less where the network comes back. */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    window.addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}
