// The third-party libraries. `make install` brings them; without them the page shows plain text.

/**
 * @typedef {object} Libraries
 * @property {any} MarkdownIt
 * @property {{sanitize(html: string, config: object): DocumentFragment}} purify
 */

/** Load what turns Markdown into elements; null if it is not there.
 * @returns {Promise<Libraries | null>} */
export async function loadMarkdown() {
  try {
    const [markdownIt, dompurify] = await Promise.all([load("markdown-it"), load("dompurify")]);
    return { MarkdownIt: markdownIt.default, purify: dompurify.default };
  } catch {
    return null;
  }
}

/** @type {Promise<any> | null} */
let highlighter = null;

/** Load what colours code, when the first code comes; null if it is not there.
 * @returns {Promise<any>} */
export function loadHighlighter() {
  highlighter ??= load("highlight").then((found) => found.default, () => null);
  return highlighter;
}

/** @param {string} name @returns {Promise<any>} */
const load = (name) => import(`./vendor/${name}.js`);
