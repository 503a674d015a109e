// @ts-check
// The lines of the conversation that is open, and where it is scrolled to.

/** @typedef {import("./talks.js").Line} Line */
/** @typedef {import("./outbox.js").Item} Item */

export const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const MOST = 500; // lines, as many as the server shows to who comes

/** @type {Line | undefined} */ let last;
let newer = 0; // lines below what is seen

export function element(/** @type {string} */ tag, /** @type {string} */ kind, /** @type {string} */ text) {
  const e = document.createElement(tag);
  e.className = kind;
  e.textContent = text;
  return e;
}

/** Shows another conversation, or the same one anew. */
export function showAll(/** @type {Line[]} */ lines, /** @type {string} */ me) {
  $("lines").replaceChildren();
  last = undefined;
  for (const line of lines.slice(-MOST)) append(line, me);
  toEnd();
}

/** Shows one more line, without moving what is read. */
export function show(/** @type {Line} */ line, /** @type {string} */ me) {
  const atEnd = isAtEnd();
  append(line, me);
  if (atEnd || line.by === me) toEnd();
  else below(newer + 1);
}

function append(/** @type {Line} */ line, /** @type {string} */ me) {
  const date = day.format(line.at);
  if (!line.notice && (!last || day.format(last.at) !== date)) {
    const today = date === day.format(Date.now());
    if (last || !today) $("lines").append(element("li", "day", today ? "Today" : date));
    last = undefined;
  }
  const li = element("li", line.notice ? "notice" : "line", "");
  const follows = last && last.by === line.by && line.at - last.at < 5 * 60000;
  if (!line.notice && !follows) {
    const head = element("p", "head", "");
    const by = element("b", "by", line.name);
    by.dir = "auto";
    head.append(by);
    if (line.by === me) head.append(element("span", "quiet", "you"));
    const at = /** @type {HTMLTimeElement} */ (element("time", "quiet", clock.format(line.at)));
    at.dateTime = new Date(line.at).toISOString();
    head.append(at);
    li.append(head);
  }
  const text = element("p", "text", line.text);
  text.dir = "auto";
  li.append(text);
  $("lines").append(li);
  if (!line.notice) last = line;
  while ($("lines").children.length > MOST) $("lines").firstChild?.remove();
}

/** Shows what has no answer yet, below everything else. */
export function showUnsent(
  /** @type {Item[]} */ items,
  /** @type {(item: Item) => void} */ again,
  /** @type {(item: Item) => void} */ forget,
) {
  const atEnd = isAtEnd();
  $("unsent").replaceChildren(
    ...items.map((item) => {
      const li = element("li", "line " + item.state, "");
      const text = element("p", "text", item.text);
      text.dir = "auto";
      li.append(text);
      if (item.state === "failed") {
        li.append(element("p", "bad", "Not sent. " + item.error));
        const row = element("p", "row", "");
        for (const [word, f] of /** @type {const} */ ([["Try again", again], ["Delete", forget]])) {
          const button = /** @type {HTMLButtonElement} */ (element("button", "plain", word));
          button.type = "button";
          button.addEventListener("click", () => f(item));
          row.append(button);
        }
        li.append(row);
      } else {
        // What is sent comes back as a line in a moment; nothing jumps meanwhile.
        li.append(element("p", "quiet", item.state === "sending" ? "sending…" : "sent"));
      }
      return li;
    }),
  );
  if (atEnd) toEnd();
}

const isAtEnd = () => $("scroll").scrollHeight - $("scroll").scrollTop - $("scroll").clientHeight < 40;

export function toEnd() {
  $("scroll").scrollTop = $("scroll").scrollHeight;
  below(0);
}

function below(/** @type {number} */ n) {
  newer = n;
  $("newer").hidden = n === 0;
  $("newer").textContent = n === 1 ? "1 new message" : n + " new messages";
}

$("newer").addEventListener("click", toEnd);
$("scroll").addEventListener("scroll", () => {
  if (newer > 0 && isAtEnd()) below(0);
});
