// What the pages say. Nothing here touches the page.

const minute = 60_000; // milliseconds
const hour = 60 * minute;

/**
 * How long ago something was, as ago of view.go does.
 * @param {number} at milliseconds since 1970
 * @param {number} now
 */
export function ago(at, now) {
  const passed = now - at;
  if (passed < minute) return "just now";
  if (passed < hour) return `${Math.floor(passed / minute)} min ago`;
  if (passed < 48 * hour) return `${Math.floor(passed / hour)} h ago`;
  return `${Math.floor(passed / (24 * hour))} days ago`;
}

/**
 * Names a place, as ordinal of view.go does.
 * @param {number} n
 */
export function ordinal(n) {
  const teen = n % 100 >= 11 && n % 100 <= 13;
  return n + (teen ? "th" : ["th", "st", "nd", "rd"][n % 10] ?? "th");
}

/**
 * A number with its word.
 * @param {number} n
 * @param {string} one
 * @param {string} many
 */
export const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;

/** @param {number} n */
export const newEntries = (n) => count(n, "new entry", "new entries");

/**
 * Sent is not saved: 100 % is for what the server has acknowledged.
 * @param {number} share 0 to 1
 */
export const saving = (share) => `Saving… ${Math.min(99, Math.floor(share * 100))} %`;

/** @param {number} at milliseconds since 1970 */
export function clock(at) {
  const d = new Date(at);
  return `${String(d.getHours()).padStart(2, "0")}:${String(d.getMinutes()).padStart(2, "0")}`;
}

/**
 * The connection in words.
 * @param {object} c
 * @param {"closed"|"connecting"|"live"|"waiting"|"refused"} c.status
 * @param {number} [c.retryAt] when the next attempt is, milliseconds since 1970
 * @param {boolean} c.online what the browser says of the network
 * @param {number} c.seen when the page last was live, milliseconds since 1970
 * @param {boolean} c.before the page has been live before
 * @param {boolean} c.missed something was missed that only loading again brings back
 * @param {number} now
 * @returns {{kind: "live"|"connecting"|"waiting"|"offline"|"missed", text: string, action: string}}
 * action is what its button says, "" for none
 */
export function connection(c, now) {
  if (c.missed) return { kind: "missed", text: "Some updates were missed", action: "load again" };
  if (c.status === "refused") return { kind: "missed", text: "This page is out of date", action: "load again" };
  if (c.status === "live") return { kind: "live", text: "Live", action: "" };
  if (!c.online) return { kind: "offline", text: `Offline, showing ${clock(c.seen)}`, action: "try now" };
  if (c.status === "waiting" && c.retryAt !== undefined) {
    const seconds = Math.max(1, Math.ceil((c.retryAt - now) / 1000));
    return { kind: "waiting", text: `Reconnecting in ${seconds} s`, action: "try now" };
  }
  return { kind: "connecting", text: c.before ? "Reconnecting…" : "Connecting…", action: "" };
}

/**
 * What is wrong with a chosen photo, "" for nothing. The server has the last word.
 * @param {{type: string, size: number}} file
 */
export function photoFault(file) {
  if (!["image/jpeg", "image/png", "image/webp"].includes(file.type)) {
    return "This is not a JPEG, PNG or WebP photo. Choose another one.";
  }
  if (file.size > 10 << 20) {
    return `This photo has ${Math.ceil(file.size / (1 << 20))} MB. Choose one of at most 10 MB.`;
  }
  return "";
}
