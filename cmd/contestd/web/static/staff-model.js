// What the organiser's page shows, kept up to date by the messages of the topic
// "staff" (contest.Staff in Go says what they are). Nothing here touches the
// page.

/**
 * @typedef {{id: string, number: number, category: string, caption: string, name: string, phone: string,
 *   imageUrl: string, width: number, height: number, createdAt: number, hidden: boolean, hiddenReason: string}} Entry
 * @typedef {{id: string, name: string, winners: number, archived: boolean}} Category
 * @typedef {{categories: Category[], submissions: Record<string, Entry[]>, winners: Record<string, string[]>}} Snapshot
 * @typedef {{event: string, data: any}} Message
 */

export class StaffModel {
  /** @type {Category[]} */ categories = [];
  /** @type {Record<string, string[]>} */ winners = {};
  /** @type {Map<string, Entry>} */ #entries = new Map();

  /** @param {Snapshot} snapshot */
  constructor(snapshot) {
    this.replace(snapshot);
  }

  /** @param {Snapshot} snapshot */
  replace(snapshot) {
    this.categories = snapshot.categories;
    this.winners = snapshot.winners;
    this.#entries = new Map();
    for (const list of Object.values(snapshot.submissions)) {
      for (const entry of list) this.#entries.set(entry.id, entry);
    }
  }

  /**
   * Applies the messages of a change, in order.
   * @param {Message[]} messages
   */
  apply(messages) {
    for (const { event, data } of messages) {
      switch (event) {
        case "entryAdded":
        case "entryChanged":
          this.#entries.set(data.id, data);
          break;
        case "categoriesUpdated":
          this.categories = data.categories;
          break;
        case "winnersUpdated":
          this.winners = data.winners;
          break;
      }
    }
  }

  /** @param {string} id */
  entry(id) {
    return this.#entries.get(id);
  }

  /** @param {string} id */
  category(id) {
    return this.categories.find((c) => c.id === id);
  }

  /** Categories that visitors see. */
  get open() {
    return this.categories.filter((c) => !c.archived);
  }

  get archived() {
    return this.categories.filter((c) => c.archived);
  }

  /**
   * The entries of a category, newest first.
   * @param {string} category
   * @returns {Entry[]}
   */
  entries(category) {
    return [...this.#entries.values()].filter((e) => e.category === category).sort((a, b) => b.number - a.number);
  }

  /** Counts over all categories that visitors see. */
  get counts() {
    const counts = { entries: 0, hidden: 0, winners: 0, places: 0 };
    const open = new Set(this.open.map((c) => c.id));
    for (const e of this.#entries.values()) {
      if (!open.has(e.category)) continue;
      counts.entries++;
      if (e.hidden) counts.hidden++;
    }
    for (const c of this.open) {
      counts.winners += this.winners[c.id]?.length ?? 0;
      counts.places += c.winners;
    }
    return counts;
  }
}

/**
 * Gives an entry a place, or takes it back when it has that place. Whoever had
 * the place swaps with the entry, or goes when the entry had none; nobody stays
 * behind a free place.
 * @param {string[]} winners ids in order of place
 * @param {string} id
 * @param {number} at place, from 0
 * @returns {string[]}
 */
export function place(winners, id, at) {
  const next = [...winners];
  const was = next.indexOf(id);
  if (was === at) {
    next.splice(at, 1);
    return next;
  }
  if (was >= 0 && at < next.length) {
    [next[was], next[at]] = [next[at], next[was]];
    return next;
  }
  if (was >= 0) next.splice(was, 1);
  next[Math.min(at, next.length)] = id;
  return next;
}

/**
 * An id for a new category, from its name.
 * @param {string} name
 * @param {Iterable<string>} taken
 */
export function categoryID(name, taken) {
  const used = new Set(taken);
  const plain = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const base = plain.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 36).replace(/-+$/, "") || "category";
  for (let n = 1; ; n++) {
    const id = n === 1 ? base : `${base}-${n}`;
    if (!used.has(id)) return id;
  }
}
