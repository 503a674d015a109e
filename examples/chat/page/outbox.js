// @ts-check
// What was written here and has no answer. It is kept for the next page of this
// tab: a message that was sent and comes again has the same id, and is shown
// once.

/** @typedef {{ id: string, to: string, text: string, state: "sending" | "sent" | "failed", error?: string }} Item */

const KEY = "chat-outbox";

/** @type {Item[]} oldest first */
export const unsent = read();

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) || "[]");
  } catch {
    return []; // storage may be forbidden
  }
}

function write() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(unsent.filter((item) => item.state !== "sent")));
  } catch {} // full, or forbidden: then it is in memory only
}

/** @returns {Item} */
export function add(/** @type {string} */ to, /** @type {string} */ text) {
  /** @type {Item} */
  const item = { id: random(), to, text, state: "sending" };
  unsent.push(item);
  write();
  return item;
}

export function become(/** @type {Item} */ item, /** @type {Item["state"]} */ state, error = "") {
  Object.assign(item, { state, error });
  write();
}

/** Lets go of what has come back from the server, or was given up. */
export function drop(/** @type {(item: Item) => boolean} */ which) {
  const kept = unsent.filter((item) => !which(item));
  unsent.splice(0, unsent.length, ...kept);
  write();
}

/** A string that nobody guesses. */
export function random() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}
