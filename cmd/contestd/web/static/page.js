// What every page needs: its elements, its data, its voice, its theme.

/**
 * The element with an id that the template of this page has.
 * @param {string} id
 * @returns {any}
 */
export function $(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no #${id} in this page`);
  return element;
}

/**
 * A copy of what is in <template id="…">.
 * @param {string} id
 * @returns {any}
 */
export const copy = (id) => $(id).content.firstElementChild.cloneNode(true);

/** The position and the view that the page was made from. */
export const pageData = () => JSON.parse($("page-data").textContent);

/**
 * Tells those who do not see the page, once they have heard what is said now.
 * @param {string} text
 */
export function announce(text) {
  $("announcer").textContent = text;
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * Makes the children of an element those of a list, in its order. Children
 * that stay are not touched beyond update, so that focus and pictures stay too.
 * @template T
 * @param {HTMLElement} parent
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => any} make
 * @param {(element: any, item: T, index: number) => void} update
 * @returns {HTMLElement[]} the children that are new
 */
export function keep(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.id, child]));
  const wanted = new Set(items.map(key));
  for (const [id, child] of old) if (!wanted.has(id ?? "")) child.remove();
  /** @type {HTMLElement[]} */ const fresh = [];
  let next = parent.firstElementChild;
  items.forEach((item, index) => {
    const id = key(item);
    let child = old.get(id);
    if (!child) {
      child = make(item);
      /** @type {HTMLElement} */ (child).dataset.id = id;
      fresh.push(/** @type {HTMLElement} */ (child));
    }
    update(child, item, index);
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(/** @type {any} */ (child), next);
  });
  return fresh;
}

/**
 * Tabs of categories: the arrow keys move between them.
 * @param {HTMLElement} list
 * @param {{id: string, name: string, count: number, note?: string}[]} items
 * @param {string} selected
 */
export function drawTabs(list, items, selected) {
  keep(list, items, (item) => item.id, () => copy("tab-template"), (tab, item) => {
    const on = item.id === selected;
    tab.id = `tab-${item.id}`;
    tab.dataset.category = item.id;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
    put(tab.querySelector(".name"), item.name);
    put(tab.querySelector(".count"), item.note ?? String(item.count));
  });
}

/**
 * @param {HTMLElement} list
 * @param {(category: string) => void} select
 */
export function listenToTabs(list, select) {
  list.addEventListener("click", (e) => {
    const tab = /** @type {HTMLElement} */ (e.target).closest("[role=tab]");
    if (tab) select(/** @type {HTMLElement} */ (tab).dataset.category ?? "");
  });
  list.addEventListener("keydown", (e) => {
    const tabs = /** @type {HTMLElement[]} */ ([...list.children]);
    const now = tabs.findIndex((tab) => tab === document.activeElement);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[e.key];
    if (now < 0 || to === undefined) return;
    e.preventDefault();
    const tab = tabs[to % tabs.length];
    select(tab.dataset.category ?? "");
    tab.focus();
    tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
}

/**
 * Sets a text that may be there already.
 * @param {Element} element
 * @param {string} text
 */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The widths in pixels that a photo can be had in, besides its own. */
const widths = (document.documentElement.dataset.widths ?? "").split(" ").map(Number);

/**
 * Where a photo is had from this server, whatever the cloud does.
 * @param {string} url
 */
const fromHere = (url) => `${url}?from=here`;

/**
 * Shows a photo in the width that the screen needs, as srcset of view.go does.
 * A picture that is there already is not loaded again.
 * @param {HTMLImageElement} img its sizes attribute is in the template
 * @param {string} url
 * @param {number} [width] of the photo in pixels, 0 when it is not known
 */
export function showPhoto(img, url, width = 0) {
  const src = img.getAttribute("src");
  if (src === url || src === fromHere(url)) return;
  if (url.startsWith("/uploads/")) {
    const narrower = widths.filter((w) => width === 0 || w < width).map((w) => `${url}?w=${w} ${w}w`);
    img.srcset = (width === 0 ? narrower : [...narrower, `${url} ${width}w`]).join(", ");
  } else {
    img.removeAttribute("srcset"); // other places have no narrower copies
  }
  img.src = url;
}

// A photo that the cloud was to give, and did not, is had from here.
/** @param {EventTarget|null} img */
function loadFromHere(img) {
  if (!(img instanceof HTMLImageElement)) return;
  const url = img.getAttribute("src") ?? "";
  const { pathname, search } = new URL(url, location.href);
  if (!url || search || !pathname.startsWith("/uploads/")) return;
  img.removeAttribute("srcset");
  img.src = fromHere(pathname);
}
document.addEventListener("error", (e) => loadFromHere(e.target), true);
for (const img of document.images) if (img.complete && img.naturalWidth === 0) loadFromHere(img); // before this script

/**
 * Shows what is wrong beside the fields of a form, and focuses the first.
 * @param {HTMLElement} form
 * @param {{field: string, detail: string}[]} faults
 * @returns {boolean} whether each fault has found its field
 */
export function showFaults(form, faults) {
  let first = null;
  const known = new Set();
  for (const field of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-field]"))) {
    const fault = faults.find((f) => f.field === field.dataset.field);
    const error = /** @type {HTMLElement} */ (field.querySelector(".error"));
    put(error, fault?.detail ?? "");
    error.hidden = !fault;
    for (const input of field.querySelectorAll("input")) {
      if (fault) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }
    if (!fault) continue;
    known.add(fault);
    first ??= /** @type {HTMLElement|null} */ (field.querySelector("button:not([hidden]):not(.camera), input:not(.unseen)"));
  }
  first?.focus();
  return known.size === faults.length;
}

// Dark, whatever the system asks for: the hall is. Light is for who chooses it.
const theme = $("theme");

const isLight = () => document.documentElement.dataset.theme === "light";

function nameTheme() {
  theme.textContent = isLight() ? "Dark theme" : "Light theme";
  theme.hidden = false;
}

theme.addEventListener("click", () => {
  const chosen = isLight() ? "dark" : "light";
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem("theme", chosen);
  } catch {
    // Then it holds for this page.
  }
  nameTheme();
});
nameTheme();
