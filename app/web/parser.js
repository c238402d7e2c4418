// The Markdown that models write: CommonMark, with GitHub's tables, task lists, strikethrough and bare links.

const TILDE = 0x7e;
const SINGLE_TILDE = -TILDE; // a marker of its own: one tilde does not close two
const TASK = /^\[([ xX])\][ \t]/;

/** Make a parser. HTML in the text stays text: a model that writes about `<b>` is read as it was written.
 * @param {any} MarkdownIt the library */
export function makeParser(MarkdownIt) {
  const parser = new MarkdownIt({ html: false, linkify: true });
  // The page shows no link whose address could act, see decorate.js. Here all are links, as the standard has them.
  parser.validateLink = () => true;
  parser.inline.ruler.at("strikethrough", strikethrough);
  parser.inline.ruler2.at("strikethrough", strikethroughTokens);
  parser.inline.ruler.before("html_inline", "line_break", lineBreak);
  parser.core.ruler.after("inline", "task_lists", taskLists);
  parser.core.ruler.push("alignment", alignment);
  parser.renderer.rules.image = imageAsLink;
  parser.linkify.add("www.", { validate: wwwLength, normalize: (/** @type {any} */ link) => { link.url = `http://${link.url}`; } });
  return parser;
}

/** Measure what comes after `www.`, by the library's own rule for what comes after `http:`.
 * @param {string} text @param {number} at @param {any} linkify */
function wwwLength(text, at, linkify) {
  const rest = text.slice(at, at + 2000);
  if (!/^[\p{L}\p{N}-]+\./u.test(rest)) return 0;
  return Math.max(0, linkify.testSchemaAt(`http://${rest}`, "http:", "http:".length) - "//".length);
}

/** Take one or two tildes as a delimiter, as GitHub does; the library takes two alone.
 * @param {any} state @param {boolean} silent */
function strikethrough(state, silent) {
  if (silent || state.src.charCodeAt(state.pos) !== TILDE) return false;
  const { can_open: open, can_close: close, length } = state.scanDelims(state.pos, true);
  const text = "~".repeat(length);
  state.push("text", "", 0).content = text;
  if (length <= 2) {
    const marker = length === 1 ? SINGLE_TILDE : TILDE;
    state.delimiters.push({ marker, length: 0, token: state.tokens.length - 1, end: -1, open, close });
  }
  state.pos += length;
  return true;
}

/** Turn the delimiters that the library has paired into elements.
 * @param {any} state */
function strikethroughTokens(state) {
  const lists = [state.delimiters, ...state.tokens_meta.map((/** @type {any} */ each) => each?.delimiters)];
  for (const opening of lists.flatMap((list) => list ?? [])) {
    const closing = opening.end >= 0 && lists.find((list) => list?.includes(opening))[opening.end];
    if (!closing || (opening.marker !== TILDE && opening.marker !== SINGLE_TILDE)) continue;
    const [first, last] = [state.tokens[opening.token], state.tokens[closing.token]];
    Object.assign(first, { type: "s_open", tag: "del", nesting: 1, content: "" });
    Object.assign(last, { type: "s_close", tag: "del", nesting: -1, content: "" });
  }
}

/** Read `<br>`, which models write in cells of tables.
 * @param {any} state @param {boolean} silent */
function lineBreak(state, silent) {
  const [found] = /^<br[ \t]*\/?>/i.exec(state.src.slice(state.pos, state.pos + 10)) ?? [];
  if (!found) return false;
  if (!silent) state.push("hardbreak", "br", 0);
  state.pos += found.length;
  return true;
}

/** Make `[ ]` and `[x]` at the beginning of an item a box.
 * @param {any} state */
function taskLists({ tokens, Token }) {
  for (let n = 2; n < tokens.length; n++) {
    const [item, paragraph, inline] = [tokens[n - 2], tokens[n - 1], tokens[n]];
    if (item.type !== "list_item_open" || paragraph.type !== "paragraph_open" || inline.type !== "inline") continue;
    const [first] = inline.children;
    const [mark, state] = (first?.type === "text" && TASK.exec(first.content)) || [];
    if (!mark) continue;
    first.content = first.content.slice(mark.length);
    const box = new Token("task", "input", 0);
    const isDone = state !== " ";
    box.attrs = [["type", "checkbox"], ["disabled", ""], ["aria-label", isDone ? "Done" : "To do"]];
    if (isDone) box.attrs.push(["checked", ""]);
    inline.children.unshift(box, Object.assign(new Token("text", "", 0), { content: " " }));
    item.attrJoin("class", "task");
  }
}

/** Align the cells of tables by an attribute: the page's policy forbids the style that the library writes.
 * @param {any} state */
function alignment({ tokens }) {
  for (const { type, attrs } of tokens) {
    if (type !== "th_open" && type !== "td_open") continue;
    for (const each of attrs ?? []) if (each[0] === "style") each.splice(0, 2, "align", each[1].replace("text-align:", ""));
  }
}

/** Render a picture as a link: to fetch it would tell its host what was said here.
 * @param {any[]} tokens @param {number} at @param {object} options @param {object} env @param {any} renderer */
function imageAsLink(tokens, at, options, env, renderer) {
  const { attrs, children, content } = tokens[at];
  const label = escaped(renderer.renderInlineAsText(children, options, env) || content);
  const before = tokens.slice(0, at);
  const depth = before.reduce((sum, { type }) => sum + Number(type === "link_open") - Number(type === "link_close"), 0);
  if (depth > 0) return label; // a link has no link within
  const [, address] = attrs.find((/** @type {string[]} */ [name]) => name === "src");
  return `<a href="${escaped(address)}">${label || "Picture"}</a>`;
}

/** @param {string} text */
const escaped = (text) => text.replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`);
