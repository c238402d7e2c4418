// Code blocks: framed with their language and what can be done with them, and coloured once they are whole.

import { actionButton, make } from "./elements.js";
import { loadHighlighter } from "./libraries.js";

const LONGEST_COLOURED = 100_000;
const LONGEST_NAME = 30;

/** Frame a code block.
 * @param {HTMLPreElement} pre */
export function frame(pre) {
  const code = pre.querySelector("code") ?? pre;
  const [, language = ""] = /(?:^| )language-(\S+)/.exec(code.className) ?? [];
  code.removeAttribute("class");
  const made = make(
    "figure",
    { className: "code", dir: "ltr" },
    make(
      "figcaption",
      {},
      make("span", {}, language.slice(0, LONGEST_NAME)),
      actionButton("Wrap", "wrap", "Wrap long lines"),
      actionButton("Copy", "copy-code", "Copy the code"),
    ),
  );
  made.dataset.language = language;
  // A line may be wider than the page; the arrow keys then scroll it.
  made.append(make("pre", { tabIndex: 0 }, make("code", {}, code.textContent?.replace(/\n$/, "") ?? "")));
  return made;
}

/** @param {Node} node @returns {node is HTMLElement} */
export const isFrame = (node) => node instanceof HTMLElement && node.matches("figure.code");

/** @param {Element} framed */
export const codeIn = (framed) => framed.querySelector("code")?.textContent ?? "";

/**
 * Colour the code blocks within these nodes, each once.
 * @param {Node[]} nodes
 * @param {(html: string) => DocumentFragment} sanitize
 */
export async function colour(nodes, sanitize) {
  const found = nodes
    .flatMap((node) => (node instanceof HTMLElement ? [node, ...node.querySelectorAll("figure")] : []))
    .filter((each) => isFrame(each) && each.dataset.language && !each.dataset.coloured);
  if (found.length === 0) return;
  const highlighter = await loadHighlighter();
  for (const each of found) {
    const { language = "" } = each.dataset;
    const text = codeIn(each);
    if (!highlighter?.getLanguage(language) || text.length > LONGEST_COLOURED) continue;
    const { value } = highlighter.highlight(text, { language, ignoreIllegals: true });
    each.dataset.coloured = "true";
    each.querySelector("code")?.replaceChildren(sanitize(value));
    await new Promise((resolve) => setTimeout(resolve)); // the page breathes between two blocks
  }
}
