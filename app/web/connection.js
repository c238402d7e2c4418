// One connection to a turn's stream.

const LONGEST_SILENCE = 45_000; // not even a ping comes: the connection is dead

/** A connection that is closed when its owner leaves, the network goes or nothing comes: TCP alone waits for minutes. */
export class Connection {
  #controller = new AbortController();
  #leaving;
  #close = () => this.#controller.abort();
  #timer = 0;

  /** @param {AbortSignal} leaving */
  constructor(leaving) {
    this.#leaving = leaving;
    leaving.addEventListener("abort", this.#close);
    if (leaving.aborted) this.#close();
    window.addEventListener("offline", this.#close);
    this.#heard();
  }

  get signal() {
    return this.#controller.signal;
  }

  /** Note that the other side is there with every part of the body.
   * @param {ReadableStream<Uint8Array>} body @returns {ReadableStream<Uint8Array>} */
  watch(body) {
    const heard = () => this.#heard();
    return body.pipeThrough(
      new TransformStream({
        transform(part, controller) {
          heard();
          controller.enqueue(part);
        },
      }),
    );
  }

  close() {
    clearTimeout(this.#timer);
    this.#leaving.removeEventListener("abort", this.#close);
    window.removeEventListener("offline", this.#close);
    this.#close();
  }

  #heard() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#close, LONGEST_SILENCE);
  }
}
