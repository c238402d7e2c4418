// What the page adds to elements that Markdown has become.

import { frame } from "./code.js";
import { make } from "./elements.js";

const SAFE = new Set(["http:", "https:", "mailto:"]);

/**
 * Make a fragment's elements fit for the page: safe links, headings below the page's own, frames around what scrolls.
 * @param {DocumentFragment} fragment
 * @param {number[]} ranks the ranks of the headings above, see `ranksOf`
 */
export function decorate(fragment, ranks) {
  for (const node of [...fragment.childNodes]) {
    if (node instanceof Element) node.setAttribute("dir", "auto");
    else if (!node.textContent?.trim()) node.remove(); // the line between two blocks
  }
  for (const each of fragment.querySelectorAll("a")) decorateLink(each);
  for (const each of fragment.querySelectorAll("h1, h2, h3, h4, h5, h6")) decorateHeading(each, ranks);
  for (const each of fragment.querySelectorAll("code")) each.dir = "ltr";
  for (const each of fragment.querySelectorAll("pre")) each.replaceWith(frame(each));
  for (const each of fragment.querySelectorAll("table")) {
    const scroller = make("div", { className: "table", tabIndex: 0, role: "group", ariaLabel: "Table" });
    each.replaceWith(scroller);
    scroller.append(each);
  }
}

/** Return the ranks that the last heading is within, its own included: of `# a`, `## b`, `## c` they are 1 and 2.
 * @param {Iterable<Element>} elements */
export function ranksOf(elements) {
  /** @type {number[]} */
  const ranks = [];
  for (const element of elements) {
    const headings = element.matches("[data-rank]") ? [element] : element.querySelectorAll("[data-rank]");
    for (const heading of headings) enter(ranks, Number(heading.getAttribute("data-rank")));
  }
  return ranks;
}

/** @param {number[]} ranks @param {number} rank */
function enter(ranks, rank) {
  while (ranks.length > 0 && ranks[ranks.length - 1] >= rank) ranks.pop();
  ranks.push(rank);
}

/** Put a heading one level below the one that it belongs to, whichever level the model began with.
 * @param {Element} heading @param {number[]} ranks */
function decorateHeading(heading, ranks) {
  const rank = Number(heading.tagName[1]);
  enter(ranks, rank);
  const made = make(/** @type {"h2"} */ (`h${Math.min(6, ranks.length + 1)}`), {}, ...heading.childNodes);
  made.dataset.rank = String(rank);
  if (heading.hasAttribute("dir")) made.dir = "auto";
  heading.replaceWith(made);
}

/** @param {HTMLAnchorElement} link */
function decorateLink(link) {
  const address = link.getAttribute("href") ?? "";
  if (!isSafe(address)) {
    link.replaceWith(...link.childNodes);
    return;
  }
  link.rel = "noopener noreferrer";
  link.target = "_blank";
}

/** @param {string} address */
function isSafe(address) {
  try {
    return SAFE.has(new URL(address).protocol);
  } catch {
    return false; // it would lead into this page
  }
}
