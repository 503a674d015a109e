// @ts-check
// What the page knows: the conversations, and who is here. Nothing of the DOM.

/** @typedef {{ id: string, by: string, name: string, text: string, at: number, notice?: boolean }} Line */
/** @typedef {{ user: string, name: string }} Person */
/** @typedef {{ id: string, from: Person, to: Person, text: string, at: number }} Direct */
/** @typedef {{ lines: Line[], unread: number }} Talk */

export const everyone = ""; // the conversation that is no user's

const KEY = "chat-direct";
const KEPT = 200; // direct messages, for the next page of this tab

/** @type {Map<string, Talk>} by user */
export const talks = new Map([[everyone, { lines: [], unread: 0 }]]);

/** @type {Map<string, string>} names of users that are here, "" for one without */
export const here = new Map();

/** @type {Map<string, string>} names of users, here or not */
export const names = new Map();

export const me = { user: "", name: "" };

/** @returns {Talk} */
export function talk(/** @type {string} */ user) {
  let t = talks.get(user);
  if (!t) talks.set(user, (t = { lines: [], unread: 0 }));
  return t;
}

/** @type {Direct[]} what the page before in this tab had, and what came since */
const direct = read();

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) || "[]");
  } catch {
    return []; // storage may be forbidden
  }
}

/** Takes a direct message, unless it was here before; returns where it belongs, if that is known. */
export function take(/** @type {Direct} */ d) {
  if (direct.some((known) => known.id === d.id)) return null;
  direct.push(d);
  direct.splice(0, direct.length - KEPT);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(direct));
  } catch {} // full, or forbidden
  return me.user ? file(d) : null;
}

/** Puts direct messages where they belong, once the page knows who it is. */
export function fileAll() {
  direct.forEach(file);
}

function file(/** @type {Direct} */ d) {
  const other = d.from.user === me.user ? d.to : d.from;
  if (!names.has(other.user)) names.set(other.user, other.name);
  const line = { id: d.id, by: d.from.user, name: d.from.name, text: d.text, at: d.at };
  talk(other.user).lines.push(line);
  return { user: other.user, line };
}
