// The wall of photo cards.

import { calm, copy, keep, put, showPhoto } from "./page.js";
import { ago, saving } from "./words.js";

/** @typedef {import("./feed-model.js").Entry} Entry */
/** @typedef {import("./feed-model.js").Draft} Draft */

const slide = 200; // milliseconds
const draftKey = "draft"; // no entry has this id: theirs are 16 characters or more

export class Wall {
  /** @type {WeakMap<HTMLElement, Entry>} what a card shows */ #shown = new WeakMap();

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /**
   * Shows entries, and the draft before them.
   * @param {Entry[]} entries
   * @param {Draft|null} draft
   * @param {boolean} moving new cards slide in
   */
  show(entries, draft, moving) {
    const places = moving && !calm() ? this.#places() : null;
    const items = draft ? [draft, ...entries] : entries;
    const fresh = keep(
      this.element,
      /** @type {(Entry|Draft)[]} */ (items),
      (item) => ("id" in item ? item.id : draftKey),
      () => copy("card-template"),
      (card, item) => ("id" in item ? this.#showEntry(card, item) : this.#showDraft(card, item)),
    );
    if (places) this.#move(places, fresh);
  }

  /**
   * The draft has become an entry: its card goes on as that of the entry.
   * @param {string} id
   */
  acknowledged(id) {
    const card = this.#card(draftKey);
    if (!card) return;
    if (this.#card(id)) card.remove();
    else card.dataset.id = id;
  }

  /** @param {string} id */
  #card(id) {
    return /** @type {HTMLElement|null} */ (this.element.querySelector(`:scope > [data-id="${CSS.escape(id)}"]`));
  }

  /**
   * @param {HTMLElement} card
   * @param {Entry} entry
   */
  #showEntry(card, entry) {
    if (this.#shown.get(card) === entry) return;
    this.#shown.set(card, entry);
    card.classList.remove("draft", "failed");
    card.querySelector(".draft-words")?.remove();
    card.querySelector("progress")?.remove();
    part(card, ".line").hidden = false;
    const link = /** @type {HTMLAnchorElement} */ (part(card, ".photo"));
    const img = /** @type {HTMLImageElement} */ (part(card, "img"));
    link.href = entry.imageUrl;
    link.setAttribute("aria-label", `See the photo of № ${entry.number}, ${entry.caption}`);
    showPhoto(img, entry.imageUrl, entry.width);
    if (entry.width) Object.assign(img, { width: entry.width, height: entry.height });
    put(part(card, ".number"), `№ ${entry.number}`);
    put(part(card, ".caption"), entry.caption);
    put(part(card, ".artist"), entry.artist);
    const time = part(card, "time");
    time.dataset.at = String(entry.createdAt);
    put(time, ago(entry.createdAt, Date.now()));
  }

  /**
   * @param {HTMLElement} card
   * @param {Draft} draft
   */
  #showDraft(card, draft) {
    if (!card.classList.contains("draft")) {
      card.classList.add("draft");
      part(card, ".line").hidden = true;
      part(card, ".photo").after(Object.assign(document.createElement("progress"), { max: 1 }));
      card.append(copy("draft-template"));
    }
    const img = /** @type {HTMLImageElement} */ (part(card, "img"));
    showPhoto(img, draft.preview);
    put(part(card, ".caption"), draft.caption);
    const failed = draft.state === "failed";
    card.classList.toggle("failed", failed);
    const bar = /** @type {HTMLProgressElement} */ (part(card, "progress"));
    bar.value = draft.share;
    bar.hidden = failed;
    bar.setAttribute("aria-label", "Saving your tattoo");
    put(part(card, ".draft-state"), failed ? draft.fault : saving(draft.share));
    for (const name of ["retry", "edit"]) part(card, `[data-do=${name}]`).hidden = !failed;
  }

  /** Where the cards on the screen are. */
  #places() {
    const places = new Map();
    for (const card of this.element.children) {
      const box = card.getBoundingClientRect();
      if (box.bottom > 0 && box.top < innerHeight) places.set(card, box);
    }
    return places;
  }

  /**
   * Lets cards glide from where they were, and new ones come in from above.
   * @param {Map<Element, DOMRect>} places
   * @param {HTMLElement[]} fresh
   */
  #move(places, fresh) {
    for (const [card, was] of places) {
      if (!card.isConnected) continue;
      const is = card.getBoundingClientRect();
      const [x, y] = [was.left - is.left, was.top - is.top];
      if (x || y) card.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], { duration: slide, easing: "ease-out" });
    }
    for (const card of fresh) {
      card.animate([{ opacity: 0, transform: "translateY(-24px)" }, { opacity: 1, transform: "none" }], { duration: slide, easing: "ease-out" });
    }
  }
}

/**
 * @param {Element} card
 * @param {string} selector
 * @returns {HTMLElement}
 */
const part = (card, selector) => /** @type {HTMLElement} */ (card.querySelector(selector));
