// The list of categories, edited as a whole and saved at once.

import { Refused } from "./api.js";
import { $, copy, keep, put } from "./page.js";
import { categoryID } from "./staff-model.js";
import { count } from "./words.js";

/** @typedef {import("./staff-model.js").StaffModel} StaffModel */
/** @typedef {{id: string, name: string, fresh: boolean}} Row */

export class CategoryEditor {
  /** @type {Row[]} */ #rows = [];
  #next = 1; // for rows that have no id yet

  /**
   * @param {StaffModel} model
   * @param {(list: {id: string, name: string}[], sentence: string) => Promise<void>} save
   */
  constructor(model, save) {
    this.model = model;
    this.save = save;
    this.dialog = $("categories");
    $("categories-close").addEventListener("click", () => this.dialog.close());
    $("category-add").addEventListener("click", () => this.#add("", `new ${this.#next++}`, true));
    $("categories-form").addEventListener("submit", (/** @type {Event} */ e) => {
      e.preventDefault();
      this.#submit();
    });
    const list = $("category-list");
    list.addEventListener("input", (/** @type {any} */ e) => {
      const row = this.#row(e.target);
      if (row) row.name = e.target.value;
    });
    list.addEventListener("click", (/** @type {any} */ e) => {
      const button = e.target.closest("[data-do]");
      const row = this.#row(button);
      if (row) this.#move(row, button.dataset.do);
    });
    $("archived-list").addEventListener("click", (/** @type {any} */ e) => {
      const id = e.target.closest("button")?.closest("[data-id]")?.dataset.id;
      const category = id && this.model.category(id);
      if (category) this.#add(category.name, category.id, false);
    });
  }

  open() {
    this.#rows = this.model.open.map(({ id, name }) => ({ id, name, fresh: false }));
    this.#draw([]);
    this.dialog.showModal();
  }

  /** @param {HTMLElement|null} inside */
  #row(inside) {
    const id = /** @type {HTMLElement|null|undefined} */ (inside?.closest("[data-id]"))?.dataset.id;
    return this.#rows.find((row) => row.id === id);
  }

  /**
   * @param {string} name
   * @param {string} id
   * @param {boolean} fresh
   */
  #add(name, id, fresh) {
    this.#rows.push({ id, name, fresh });
    this.#draw([]);
    $("category-list").lastElementChild.querySelector("input").focus();
  }

  /**
   * @param {Row} row
   * @param {string} what
   */
  #move(row, what) {
    const at = this.#rows.indexOf(row);
    this.#rows.splice(at, 1);
    if (what !== "remove") this.#rows.splice(at + (what === "up" ? -1 : 1), 0, row);
    this.#draw([]);
    const element = $("category-list").children[what === "remove" ? Math.min(at, this.#rows.length - 1) : this.#rows.indexOf(row)];
    const button = element?.querySelector(`[data-do=${what}]`);
    (button?.disabled ? element?.querySelector("input") : button)?.focus();
  }

  /** @param {{field: string, detail: string}[]} faults */
  #draw(faults) {
    const last = this.#rows.length - 1;
    keep($("category-list"), this.#rows, (row) => row.id, () => copy("category-template"), (element, row, i) => {
      const input = element.querySelector("input");
      if (input.value !== row.name) input.value = row.name;
      input.setAttribute("aria-label", `Name of category ${i + 1}`);
      const label = row.name || `category ${i + 1}`;
      for (const [what, text, off] of /** @type {[string, string, boolean][]} */ ([
        ["up", `Move ${label} up`, i === 0],
        ["down", `Move ${label} down`, i === last],
        ["remove", `Remove ${label}`, last === 0],
      ])) {
        const button = element.querySelector(`[data-do=${what}]`);
        button.setAttribute("aria-label", text);
        button.disabled = off;
      }
      const fault = faults.find((f) => f.field.startsWith(`categories[${i}].`));
      const error = element.querySelector(".error");
      put(error, fault?.detail ?? "");
      error.hidden = !fault;
    });
    const kept = new Set(this.#rows.map((row) => row.id));
    const archived = this.model.archived.filter((c) => !kept.has(c.id));
    $("archived").hidden = archived.length === 0;
    keep($("archived-list"), archived, (c) => c.id, () => copy("archived-template"), (element, c) => {
      put(element.querySelector(".name"), `${c.name}, ${count(this.model.entries(c.id).length, "entry", "entries")}`);
    });
  }

  async #submit() {
    this.#problem("");
    const taken = new Set(this.model.categories.map((c) => c.id));
    const list = this.#rows.map((row) => {
      if (!row.fresh) return { id: row.id, name: row.name };
      const id = categoryID(row.name, taken);
      taken.add(id);
      return { id, name: row.name };
    });
    const faults = this.#rows.flatMap((row, i) => (row.name.trim() ? [] : [{ field: `categories[${i}].name`, detail: "Give it a name." }]));
    this.#draw(faults);
    if (faults.length) return;

    const kept = new Set(list.map((c) => c.id));
    const gone = this.model.open.filter((c) => !kept.has(c.id) && this.model.entries(c.id).length > 0);
    const sentence = gone.length ? `Saved. ${gone.map((c) => c.name).join(", ")}: archived with all entries.` : "The categories are saved.";
    const button = $("categories-save");
    button.disabled = true;
    put(button, "Saving…");
    try {
      await this.save(list, sentence);
      this.dialog.close();
    } catch (err) {
      if (!(err instanceof Refused)) throw err;
      this.#draw(err.faults);
      this.#problem(err.message);
    } finally {
      button.disabled = false;
      put(button, "Save the categories");
    }
  }

  /** @param {string} text */
  #problem(text) {
    const error = $("categories-error");
    put(error, text);
    error.hidden = !text;
  }
}
