// The Markdown that models write, as DOM nodes. Text reaches the page as text alone: there is no HTML to escape.

const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:[ \t]+|$)(.*)$/;
const TABLE = /^ {0,3}\|/;

// Bounded, so that a text of nothing but markers costs no more than its length. No marker's text has that marker in it.
const INLINE = new RegExp(
  [
    /(?<ticks>`+)(?!`)(?<code>[^]{1,1000}?)(?<!`)\k<ticks>(?!`)/,
    /\*\*(?=\S)(?<strong>(?:(?!\*\*)[^]){1,1000})\*\*/,
    /\*(?=[^\s*])(?<em>[^*]{1,1000})\*/,
    /\b_(?=[^\s_])(?<under>[^_]{1,1000})_\b/,
    /~~(?=\S)(?<del>[^~]{1,1000})~~/,
    /!?\[(?<label>[^[\]]{1,1000})\]\((?<target>[^()\s]{1,2000})\)/,
    /(?<bare>\bhttps?:\/\/[^\s<>"'`)\]]{1,2000})/,
  ].map((part) => part.source).join("|"),
  "g",
);
const SAFE = new Set(["http:", "https:", "mailto:"]);
const DEEPEST = 6; // quotes and lists within each other

const shown = new WeakMap();

/** Show the text. Blocks that it began with before stay as they are: an answer that grows moves nothing. */
export function show(container, text) {
  const blocks = blocksOf(text.split(/\r\n|\r|\n/));
  const before = shown.get(container) ?? [];
  let same = 0;
  while (same < before.length && same < blocks.length && before[same].source === blocks[same].source) same++;
  while (container.childNodes.length > same) container.lastChild.remove();
  container.append(...blocks.slice(same).map((block) => block.build()));
  shown.set(container, blocks);
}

function blocksOf(lines, depth = 0) {
  const blocks = [];
  for (let start = 0; start < lines.length; ) {
    const [end, build] = blockAt(lines, start, depth);
    if (build) blocks.push({ build, source: lines.slice(start, end).join("\n") });
    start = end;
  }
  return blocks;
}

/** Where the block that begins here ends, and what makes its element. */
function blockAt(lines, start, depth) {
  const line = lines[start];
  if (!line.trim()) return [start + 1, null];
  const [, fence, language] = FENCE.exec(line) ?? [];
  if (fence) {
    // An answer that still comes has an open one last.
    const end = endOf(lines, start + 1, (each) => !closes(fence, each.trim()));
    return [end + 1, () => preformatted(lines.slice(start + 1, end), language.trim())];
  }
  const [, hashes, title] = HEADING.exec(line) ?? [];
  // The page has a heading of its own above all answers'.
  if (hashes) return [start + 1, () => element(`h${Math.min(6, hashes.length + 1)}`, ...inline(title))];
  if (RULE.test(line)) return [start + 1, () => element("hr")];
  if (TABLE.test(line)) {
    const end = endOf(lines, start, (each) => TABLE.test(each));
    // Columns of a real table would move with every word that comes.
    return [end, () => preformatted(lines.slice(start, end))];
  }
  if (QUOTE.test(line) && depth < DEEPEST) {
    const end = endOf(lines, start, (each) => QUOTE.test(each));
    const inner = () => lines.slice(start, end).map((each) => each.replace(QUOTE, ""));
    return [end, () => element("blockquote", ...built(inner(), depth + 1))];
  }
  if (ITEM.test(line) && depth < DEEPEST) {
    const end = endOfList(lines, start);
    return [end, () => list(lines.slice(start, end), depth + 1)];
  }
  const end = endOf(lines, start + 1, (each) => each.trim() && !beginsBlock(each));
  return [end, () => element("p", ...inline(lines.slice(start, end).join("\n")))];
}

const beginsBlock = (line) => [FENCE, HEADING, RULE, TABLE, QUOTE, ITEM].some((pattern) => pattern.test(line));
const built = (lines, depth) => blocksOf(lines, depth).map((block) => block.build());

const closes = (fence, line) => line.startsWith(fence) && !line.replaceAll(fence[0], "");

function endOf(lines, start, belongs) {
  let end = start;
  while (end < lines.length && belongs(lines[end])) end++;
  return end;
}

/** A list goes on past blank lines for as long as items, or lines below them, follow. */
function endOfList(lines, start) {
  let end = start + 1;
  for (let n = end; n < lines.length; n++) {
    const isBelow = ITEM.test(lines[n]) || lines[n].startsWith("  ");
    const isLazy = lines[n - 1].trim() && !beginsBlock(lines[n]);
    if (lines[n].trim() && !isBelow && !isLazy) break;
    if (lines[n].trim()) end = n + 1;
  }
  return end;
}

function list(lines, depth) {
  const [, margin, marker] = ITEM.exec(lines[0]);
  const items = [];
  for (const line of lines) {
    const [, indent, , text] = ITEM.exec(line) ?? [];
    if (indent !== undefined && indent.length < margin.length + 2) items.push([text]);
    else items.at(-1).push(line.slice(Math.min(margin.length + 2 + (marker.length > 1), line.search(/\S|$/))));
  }
  const isOrdered = marker.length > 1;
  const found = element(isOrdered ? "ol" : "ul", ...items.map((item) => element("li", ...itemContent(item, depth))));
  if (isOrdered) found.start = parseInt(marker, 10);
  return found;
}

/** A single paragraph stands in the item itself, without a paragraph's space. */
function itemContent(lines, depth) {
  const content = built(lines, depth);
  return content[0]?.tagName === "P" ? [...content[0].childNodes, ...content.slice(1)] : content;
}

function preformatted(lines, language = "") {
  const pre = element("pre", element("code", lines.join("\n")));
  pre.tabIndex = 0; // it may be wider than the page, and is then scrolled with the arrow keys
  if (language) pre.dataset.language = language.slice(0, 30);
  return pre;
}

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(end, match.index), inlineElement(match));
    end = match.index + match[0].length;
  }
  return [...nodes, text.slice(end)];
}

function inlineElement({ 0: source, groups }) {
  const { code, strong, em, under, del, label, target, bare } = groups;
  if (code) return element("code", code);
  if (strong) return element("strong", ...inline(strong));
  if (em ?? under) return element("em", ...inline(em ?? under));
  if (del) return element("del", ...inline(del));
  // A picture is a link, too: to fetch it would tell its host what was said here.
  return link(target ?? bare, label ?? bare) ?? source;
}

function link(target, label) {
  const url = URL.parse?.(target) ?? (URL.canParse(target) ? new URL(target) : null);
  if (!url || !SAFE.has(url.protocol)) return null;
  const anchor = element("a", label);
  anchor.href = url.href;
  anchor.rel = "noopener noreferrer";
  anchor.target = "_blank";
  return anchor;
}

function element(name, ...content) {
  const made = document.createElement(name);
  made.append(...content);
  return made;
}
