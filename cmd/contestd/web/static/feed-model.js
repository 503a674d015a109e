// What the public pages show, kept up to date by the messages of the topic
// "feed" (contest.Public in Go says what they are). Nothing here touches the
// page.

/**
 * @typedef {{id: string, number: number, category: string, caption: string, imageUrl: string,
 *   width: number, height: number, artist: string, createdAt: number}} Entry
 * @typedef {{id: string, caption: string, imageUrl: string}} Winner
 * @typedef {{id: string, name: string}} Category
 * @typedef {{categories: Category[], feed: Record<string, Entry[]>,
 *   winners: Record<string, Winner[]>, winnersAvailable: boolean}} Snapshot
 * @typedef {{epoch: string, offset: number}} Position
 * @typedef {{event: string, data: any}} Message
 */

/**
 * The visitor's own entry while it is on its way.
 * @typedef {object} Draft
 * @property {string} key
 * @property {string} category
 * @property {string} caption
 * @property {string} preview an address of the photo
 * @property {"saving"|"failed"} state
 * @property {number} share how much is sent, 0 to 1
 * @property {string} fault what went wrong and what to do
 */

export class FeedModel {
  /** @type {Category[]} */ categories = [];
  /** @type {Record<string, Winner[]>} */ winners = {};
  winnersAvailable = false;
  /** @type {Draft|null} */ draft = null;

  /** @type {Map<string, Entry>} */ #entries = new Map();
  /** @type {Map<string, {entry: Entry, at: Position}>} own entries that the stream has not told of */
  #own = new Map();
  /** @type {Set<string>} entries that came and went: a late acknowledgement does not bring them back */
  #gone = new Set();
  /** @type {Map<string, Entry[]>|null} newest first; null when it must be made again */
  #lists = null;

  /**
   * @param {Snapshot} snapshot
   * @param {Position} at
   */
  constructor(snapshot, at) {
    this.replace(snapshot, at);
  }

  /**
   * Starts again from a snapshot. An own entry that is acknowledged and newer
   * than the snapshot stays.
   * @param {Snapshot} snapshot
   * @param {Position} at
   */
  replace(snapshot, at) {
    this.categories = snapshot.categories;
    this.winners = snapshot.winners;
    this.winnersAvailable = snapshot.winnersAvailable;
    this.#entries = new Map();
    this.#gone = new Set();
    for (const list of Object.values(snapshot.feed)) {
      for (const entry of list) this.#entries.set(entry.id, entry);
    }
    for (const [id, own] of this.#own) {
      if (own.at.epoch !== at.epoch || own.at.offset <= at.offset) this.#own.delete(id);
      else this.#entries.set(id, own.entry);
    }
    this.#lists = null;
  }

  /**
   * Applies the messages of a change, in order.
   * @param {Message[]} messages
   * @returns {{added: Entry[], removed: string[], categories: boolean, winners: boolean}}
   * what is different now: entries that were not there, ids that are gone
   */
  apply(messages) {
    const change = { added: /** @type {Entry[]} */ ([]), removed: /** @type {string[]} */ ([]), categories: false, winners: false };
    for (const { event, data } of messages) {
      switch (event) {
        case "newSubmission":
          if (!this.#entries.has(data.id)) change.added.push(data);
          this.#own.delete(data.id);
          this.#gone.delete(data.id);
          this.#entries.set(data.id, data);
          break;
        case "submissionRemoved":
          this.#remove(data.id, change);
          break;
        case "categoriesUpdated": {
          this.categories = data.categories;
          change.categories = true;
          const left = new Set(this.categories.map((c) => c.id));
          for (const entry of [...this.#entries.values()]) {
            if (!left.has(entry.category)) this.#remove(entry.id, change);
          }
          break;
        }
        case "winnersUpdated":
          this.winners = data.winners;
          this.winnersAvailable = data.winnersAvailable;
          change.winners = true;
          break;
        // Messages of a later version are not for this page.
      }
    }
    this.#lists = null;
    return change;
  }

  /**
   * @param {string} id
   * @param {{added: Entry[], removed: string[]}} change
   */
  #remove(id, change) {
    this.#own.delete(id);
    this.#gone.add(id);
    change.added = change.added.filter((entry) => entry.id !== id);
    if (this.#entries.delete(id)) change.removed.push(id);
  }

  /**
   * The entries of a category, newest first. While the own entry is on its
   * way, the one that the stream has brought already is left out: it would be
   * seen twice.
   * @param {string} category
   * @returns {Entry[]}
   */
  entries(category) {
    const list = this.#sorted().get(category) ?? [];
    const twin = this.#twin();
    return twin ? list.filter((entry) => entry !== twin) : list;
  }

  /** @param {string} category */
  count(category) {
    return this.#sorted().get(category)?.length ?? 0;
  }

  #sorted() {
    if (!this.#lists) {
      this.#lists = new Map();
      for (const entry of [...this.#entries.values()].sort((a, b) => b.number - a.number)) {
        const list = this.#lists.get(entry.category);
        if (list) list.push(entry);
        else this.#lists.set(entry.category, [entry]);
      }
    }
    return this.#lists;
  }

  /** The entry that is most likely the draft, come back before its acknowledgement. */
  #twin() {
    const draft = this.draft;
    if (!draft || draft.state !== "saving" || draft.share < 1) return null;
    const list = this.#sorted().get(draft.category) ?? [];
    return list.find((entry) => entry.caption === draft.caption && entry.number > this.#before) ?? null;
  }

  #before = 0; // the highest number when the draft was made

  /**
   * The visitor sends an entry.
   * @param {{key: string, category: string, caption: string, preview: string}} entry
   */
  send(entry) {
    // A retry keeps the mark of the first attempt: that one may have arrived.
    if (this.draft?.key !== entry.key) {
      this.#before = Math.max(0, ...[...this.#entries.values()].map((e) => e.number));
    }
    this.draft = { ...entry, caption: entry.caption.trim(), state: "saving", share: 0, fault: "" };
  }

  /** @param {number} share how much is sent, 0 to 1 */
  progress(share) {
    if (this.draft) this.draft.share = share;
  }

  /**
   * The server has it. It may have been on the page for a while.
   * @param {Entry} entry
   * @param {Position} at
   */
  acknowledge(entry, at) {
    this.draft = null;
    if (this.#gone.has(entry.id) || this.#entries.has(entry.id)) return;
    this.#own.set(entry.id, { entry, at });
    this.#entries.set(entry.id, entry);
    this.#lists = null;
  }

  /** @param {string} fault what went wrong and what to do */
  fail(fault) {
    if (this.draft) Object.assign(this.draft, { state: "failed", fault });
  }

  /** The visitor takes the draft back. */
  discard() {
    this.draft = null;
  }
}
