// A question of this tab, and the answer that comes to it.

import { make } from "./elements.js";
import * as log from "./log.js";
import { readableText, show } from "./markdown.js";
import { bubble, marked, questionElements, textIn, toolsOf } from "./messages.js";
import { note, notice } from "./notices.js";
import { reasonFor } from "./reasons.js";

export class Exchange {
  #turn;
  #question;
  #answer = bubble("assistant", "Answer");
  #tools = make("div", { className: "tools waiting" }); // its place is there from the beginning: nothing moves
  /** @type {HTMLElement | null} */
  #dropped = null;
  /** @type {HTMLDetailsElement | null} */
  #thinking = null;
  /** @type {HTMLElement | null} */
  #notice = null;
  /** @type {HTMLElement | null} */
  #reason = null;
  #hasStarted = false;

  /** @param {import("./turn.js").Turn} turn */
  constructor(turn) {
    this.#turn = turn;
    this.#question = questionElements(turn.message, turn.askedAt);
  }

  /** @returns {HTMLElement[]} */
  get elements() {
    const started = this.#hasStarted ? [this.#dropped, this.#thinking, this.#answer, this.#tools] : [];
    return [...this.#question, ...started, this.#notice].filter((each) => each !== null);
  }

  /** Return what a screen reader reads. */
  get readableText() {
    return readableText(textIn(this.#answer));
  }

  /** Show what there is of the answer now. */
  show() {
    if (!this.#turn.id) return;
    this.#start(this.#turn.id);
    this.#think(this.#turn.thinking);
    show(textIn(this.#answer), this.#turn.text, false);
  }

  /** Show that no more comes; `failure` says why the answer is not whole.
   * @param {string} [failure] */
  end(failure) {
    this.show();
    show(textIn(this.#answer), this.#turn.text, true);
    this.#answer.removeAttribute("aria-busy");
    const { text: content, finishReason: finish_reason, model } = this.#turn;
    const answer = { role: /** @type {const} */ ("assistant"), content, finish_reason, turn_id: this.#turn.id ?? "" };
    if (failure) this.#explain(note(failure, "alert"));
    this.describe({ ...answer, model, created_at: new Date().toISOString() }, Boolean(failure));
  }

  /** Say what the service stores beside the text.
   * @param {import("./api.js").Message} message @param {boolean} [hasFailed] */
  describe(message, hasFailed = this.#reason?.getAttribute("role") === "alert") {
    const { thinking, unreadable, askedAt } = this.#turn;
    const reason = reasonFor(message, { hasThought: Boolean(thinking), unreadable });
    if (!hasFailed) this.#explain(reason ? note(reason) : null);
    const tools = toolsOf(message, askedAt);
    this.#tools.className = tools.className;
    this.#tools.replaceChildren(...tools.childNodes);
  }

  /** Say below the question why it has no answer, and what can be done.
   * @param {Parameters<typeof notice>} args */
  notice(...args) {
    this.#notice = notice(...args);
    if (this.#question[0].isConnected) this.elements.at(-2)?.after(this.#notice);
  }

  remove() {
    for (const each of this.elements) each.remove();
  }

  /** The turn runs: what else shows the same turn makes way for this.
   * @param {string} id */
  #start(id) {
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    for (const other of log.elementsOf(id)) other.remove();
    marked([...this.#question, this.#answer, this.#tools], id);
    this.#answer.setAttribute("aria-busy", "true");
    const { droppedMessages } = this.#turn;
    if (droppedMessages) {
      this.#dropped = note(`${droppedMessages} earlier messages did not fit the model's context and were left out.`);
    }
    if (this.#question[0].isConnected) this.#question[1].after(...this.elements.slice(2));
  }

  /** Show what the model thinks: beside the answer, which has none of it.
   * @param {string} text */
  #think(text) {
    if (!text) return;
    if (!this.#thinking) {
      this.#thinking = make("details", {}, make("summary", {}, "Thinking"), make("p", { dir: "auto" }));
      this.#answer.before(this.#thinking);
    }
    const [paragraph] = this.#thinking.getElementsByTagName("p");
    const shown = paragraph.textContent ?? "";
    if (text !== shown) paragraph.append(text.slice(shown.length));
  }

  /** @param {HTMLElement | null} reason */
  #explain(reason) {
    this.#reason?.remove();
    this.#reason = reason;
    if (reason) this.#answer.append(reason);
  }
}
