// Shows Markdown, also while it grows: blocks that are complete are neither parsed nor painted again.

import { codeIn, colour, isFrame } from "./code.js";
import { decorate, ranksOf } from "./decorate.js";
import { loadMarkdown } from "./libraries.js";
import { makeParser } from "./parser.js";

const MARKDOWN = {
  ALLOWED_TAGS: [
    ...["p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code"],
    ...["strong", "em", "del", "a", "table", "thead", "tbody", "tr", "th", "td", "input"],
  ],
  ALLOWED_ATTR: ["href", "title", "start", "class", "type", "checked", "disabled", "aria-label", "align"],
  RETURN_DOM_FRAGMENT: true,
};
const COLOURED_CODE = { ...MARKDOWN, ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"] };

/** @type {import("./libraries.js").Libraries | null} */
let libraries = null;
/** @type {any} */
let parser = null;

/** Whether the libraries are there; until this is known texts are shown as plain text. */
export const ready = loadMarkdown().then((found) => {
  libraries = found;
  parser = found && makeParser(found.MarkdownIt);
  if (found) for (const [container, { text, isWhole }] of shown) show(container, text, isWhole);
  shown.clear();
  return found !== null;
});

/**
 * What is shown in a container.
 * @typedef {object} Shown
 * @property {string} text
 * @property {number} offset where in the text the first block begins that may still change
 * @property {number} count how many elements are above that block
 * @property {object} references the links that are defined above that block
 */

/** @type {WeakMap<Element, Shown>} */
const states = new WeakMap();
/** @type {Map<HTMLElement, {text: string, isWhole: boolean}>} Plain texts that wait for the libraries. */
const shown = new Map();

/**
 * Show a text in the container; an answer that grows is shown again and again, and moves nothing.
 * @param {HTMLElement} container
 * @param {string} text
 * @param {boolean} isWhole whether no more comes
 */
export function show(container, text, isWhole) {
  container.classList.toggle("plain", !libraries);
  if (!libraries) {
    container.textContent = text;
    shown.set(container, { text, isWhole });
    return;
  }
  const lines = text.replace(/\r\n?/g, "\n");
  let state = states.get(container);
  if (!state || !lines.startsWith(state.text)) {
    state = { text: "", offset: 0, count: 0, references: {} };
    container.replaceChildren();
  }
  states.set(container, state);
  if (lines === state.text && !isWhole) return;
  state.text = lines;
  const references = grow(container, state);
  // What is defined further down counts for the links above it, too.
  if (isWhole && Object.keys(references).length > 0) {
    Object.assign(state, { offset: 0, count: 0, references });
    grow(container, state);
  }
  if (isWhole) paintCode([...container.childNodes]);
}

/** Return the text as it was written.
 * @param {Element} container */
export const sourceOf = (container) => states.get(container)?.text ?? container.textContent ?? "";

/** Return what a reader reads: the text without the names of the code blocks' buttons.
 * @param {Element} container */
export function readableText(container) {
  const copy = /** @type {Element} */ (container.cloneNode(true));
  for (const each of copy.querySelectorAll("figcaption")) each.remove();
  return copy.textContent ?? "";
}

/** Show what comes after the complete blocks, and see which blocks are complete now. Return the links defined so far.
 * @param {HTMLElement} container @param {Shown} state @returns {object} */
function grow(container, state) {
  const tail = state.text.slice(state.offset);
  const env = { references: { ...state.references } };
  const tokens = parser.parse(tail, env);
  const fragment = sanitize(parser.renderer.render(tokens, parser.options, env));
  decorate(fragment, ranksOf([...container.children].slice(0, state.count)));
  reconcile(container, state.count, [...fragment.childNodes]);
  const starts = tokens
    .filter((/** @type {any} */ { level, nesting, map }) => level === 0 && nesting >= 0 && map)
    .map((/** @type {any} */ { map }) => map[0]);
  // A block is complete once another one has begun, and that one's first line has ended: until then the line
  // may turn out to belong to the block above.
  let complete = starts.length - 1;
  while (complete > 0 && offsetOf(tail, starts[complete] + 1) < 0) complete--;
  if (complete > 0) {
    const end = offsetOf(tail, starts[complete]);
    const above = { references: state.references };
    parser.parse(tail.slice(0, end), above);
    paintCode([...container.childNodes].slice(state.count, state.count + complete));
    Object.assign(state, { offset: state.offset + end, count: state.count + complete, references: above.references });
  }
  return env.references;
}

/** Return where a line begins, -1 if the line before it has not ended.
 * @param {string} text @param {number} line */
function offsetOf(text, line) {
  let offset = 0;
  for (let n = 0; n < line; n++) {
    offset = text.indexOf("\n", offset) + 1;
    if (offset === 0) return -1;
  }
  return offset;
}

/** @param {Node[]} nodes */
function paintCode(nodes) {
  colour(nodes, (html) => sanitize(html, COLOURED_CODE));
}

/** Return what is harmless of the HTML, as elements.
 * @param {string} html @returns {DocumentFragment} */
export function sanitize(html, config = MARKDOWN) {
  if (!libraries) throw new TypeError("the libraries are not there");
  return libraries.purify.sanitize(html, config);
}

/** Make the container's nodes from `start` on these ones, and touch none that is the same already.
 * @param {Node} container @param {number} start @param {Node[]} nodes */
function reconcile(container, start, nodes) {
  /** @type {Node | null} */
  let current = container.childNodes[start] ?? null;
  for (const node of nodes) {
    /** @type {Node | null} */
    const next = current?.nextSibling ?? null;
    if (!current) container.appendChild(node);
    else merge(current, node);
    current = next;
  }
  while (current) {
    const next = current.nextSibling;
    container.removeChild(current);
    current = next;
  }
}

/** @param {Node} old @param {Node} made */
function merge(old, made) {
  if (isFrame(old) && isFrame(made)) {
    mergeFrames(old, made);
  } else if (old.isEqualNode(made)) {
    return;
  } else if (old instanceof Text && made instanceof Text) {
    if (made.data.startsWith(old.data)) old.appendData(made.data.slice(old.data.length));
    else old.data = made.data;
  } else if (old instanceof Element && made instanceof Element && old.cloneNode().isEqualNode(made.cloneNode())) {
    reconcile(old, 0, [...made.childNodes]);
  } else {
    old.parentNode?.replaceChild(made, old);
  }
}

/** A frame keeps its colours and its switch as long as its code only grows.
 * @param {HTMLElement} old @param {HTMLElement} made */
function mergeFrames(old, made) {
  if (codeIn(old) === codeIn(made) && old.dataset.language === made.dataset.language) return;
  if (old.dataset.coloured) {
    old.replaceWith(made);
    return;
  }
  old.dataset.language = made.dataset.language;
  merge(/** @type {Node} */ (old.querySelector("figcaption span")), /** @type {Node} */ (made.querySelector("figcaption span")));
  merge(/** @type {Node} */ (old.querySelector("code")), /** @type {Node} */ (made.querySelector("code")));
}
