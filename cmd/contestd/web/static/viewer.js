// A photo as large as the screen. Without this script, or with a modifier key,
// the link opens the picture itself.

import { $ } from "./page.js";

const viewer = $("viewer");

/**
 * Opens the photos of cards in a list at a tap.
 * @param {HTMLElement} list
 * @param {(card: HTMLElement) => {caption: string, line: string}} words
 */
export function viewPhotos(list, words) {
  list.addEventListener("click", (e) => {
    const link = /** @type {HTMLElement} */ (e.target).closest("a.photo");
    const card = /** @type {HTMLElement|null} */ (link?.closest("[data-id]"));
    const href = /** @type {HTMLAnchorElement|null} */ (link)?.href;
    if (!card || !href || e.ctrlKey || e.metaKey || e.shiftKey || e.button !== 0) return;
    e.preventDefault();
    const { caption, line } = words(card);
    const photo = $("viewer-photo");
    photo.src = href;
    photo.alt = caption;
    $("viewer-caption").textContent = caption;
    $("viewer-line").textContent = line;
    viewer.showModal();
  });
}

viewer.addEventListener("click", (/** @type {Event} */ e) => {
  if (!(/** @type {HTMLElement} */ (e.target).closest(".viewer-words"))) viewer.close();
});
viewer.addEventListener("close", () => $("viewer-photo").removeAttribute("src"));
