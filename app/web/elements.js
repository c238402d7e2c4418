// Elements: found, and made without a line of HTML.

/**
 * Return the page's element.
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} type
 * @param {ParentNode} [within]
 * @returns {T}
 */
export function find(selector, type, within = document) {
  const found = within.querySelector(selector);
  if (!(found instanceof type)) throw new TypeError(`${selector} is missing`);
  return found;
}

/**
 * Make an element.
 * @template {keyof HTMLElementTagNameMap} N
 * @param {N} name
 * @param {Partial<HTMLElementTagNameMap[N]>} [properties]
 * @param {...(Node | string)} content
 * @returns {HTMLElementTagNameMap[N]}
 */
export function make(name, properties = {}, ...content) {
  const made = document.createElement(name);
  for (const [property, value] of Object.entries(properties)) {
    // Some browsers reflect these attributes not yet.
    if (property === "role") made.setAttribute("role", String(value));
    else if (property.startsWith("aria")) made.setAttribute(`aria-${property.slice(4).toLowerCase()}`, String(value));
    else Reflect.set(made, property, value);
  }
  made.append(...content);
  return made;
}

/** Make a button that acts by itself.
 * @param {string} label @param {() => void} act @param {string} [className] */
export function button(label, act, className = "") {
  const made = make("button", { type: "button", className }, label);
  made.addEventListener("click", act);
  return made;
}

/** Make a button that the messages' own listener serves, see actions.js: it may be made anew with its message.
 * @param {string} label @param {string} action @param {string} [name] what it is called, if the label does not say */
export function actionButton(label, action, name) {
  const made = make("button", { type: "button", className: "quiet" }, label);
  if (name) made.setAttribute("aria-label", name);
  made.dataset.action = action;
  return made;
}
