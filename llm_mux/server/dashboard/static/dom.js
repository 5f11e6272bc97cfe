// Elements from data. Rule: what comes from outside becomes text or an attribute, never markup; links are http(s) only.

/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element: `h("button.primary", {onclick}, "Save")`. Properties that begin with "on" are listeners, `data` is the
 * dataset, `style` sets single properties, true and false set or leave out an attribute.
 * @param {string} what tag and classes
 * @param {Record<string, any> | null} [props]
 * @param {...Child} children
 * @returns {any}
 */
export function h(what, props, ...children) {
  const [tag, ...classes] = what.split(".");
  return dressed(document.createElement(tag || "div"), classes, props, children);
}

/** The same for SVG. @param {string} what @param {Record<string, any> | null} [props] @param {...Child} children @returns {any} */
export function s(what, props, ...children) {
  const [tag, ...classes] = what.split(".");
  return dressed(document.createElementNS(SVG, tag), classes, props, children);
}

function dressed(element, classes, props, children) {
  if (classes.length) element.classList.add(...classes);
  for (const [name, value] of Object.entries(props ?? {})) dress(element, name, value);
  element.append(...nodes(children));
  return element;
}

function dress(element, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "class") element.classList.add(...String(value).split(" ").filter(Boolean));
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name === "style") for (const [key, set] of Object.entries(value)) element.style.setProperty(key, set);
  else if (name === "value") element.value = value;
  else if (name === "checked") element.checked = true;
  else if (name === "href") element.setAttribute("href", safeHref(String(value)));
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Only pages and places within this one. @param {string} address */
function safeHref(address) {
  return /^(https?:\/\/|#|\/(?!\/))/i.test(address) ? address : "#/";
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function nodes(children) {
  const found = [];
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) found.push(...nodes(child));
    else found.push(child instanceof Node ? child : String(child));
  }
  return found;
}

/** Puts new content in place of the old. @param {Element} element @param {...Child} children */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/**
 * The same, where what stays is not touched: it keeps the focus, and what was opened in it.
 * @param {Element} element @param {Element[]} children
 */
export function arrange(element, children) {
  const wanted = new Set(children);
  for (const child of [...element.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, at) => {
    if (element.children[at] !== child) element.insertBefore(child, element.children[at] ?? null);
  });
}

/** Text with `code` in it, as messages of the daemon have it. @param {string} text @returns {Child[]} */
export const prose = (text) => text.split(/`([^`\n]+)`/).map((part, at) => (at % 2 ? h("code", null, part) : part));

const ICONS = {
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 12.5l4.5 4.5L19 7",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  up: "M12 19V6M6 11l6-6 6 6",
  down: "M12 5v13M6 13l6 6 6-6",
  pause: "M9 5v14M15 5v14",
  play: "M7 5l11 7-11 7z",
  out: "M13 5h6v6M19 5l-9 9M10 6H5v13h13v-5",
  download: "M12 4v11M7 10l5 5 5-5M5 20h14",
  search: "M11 4a7 7 0 1 1 0 14a7 7 0 0 1 0-14M16 16l4.5 4.5",
  retry: "M4 12a8 8 0 0 1 14-5.3L20 9M20 4v5h-5M20 12a8 8 0 0 1-14 5.3L4 15M4 20v-5h5",
};

/** @param {keyof typeof ICONS} name */
export function icon(name) {
  return s("svg.icon", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
}
