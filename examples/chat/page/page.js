// @ts-check
import { Client } from "/reliablews.js";

import { showConnection } from "./connection.js";
import { $, element, show, showAll, showUnsent, toEnd } from "./lines.js";
import * as outbox from "./outbox.js";
import { everyone, fileAll, here, me, names, take, talk, talks } from "./talks.js";

const client = new Client("/ws", {
  // A page that is loaded anew gets the room as a snapshot. Its inbox goes on.
  topics: { room: null, who: null, "@": "stored" },
  getToken: secret,
  storage: sessionStorage,
  key: "chat-session",
});
let open = everyone; // the conversation that is shown
let room = false; // the room has come
let restarted = false; // told of it

/** Who this visitor is, to the server: the same in all tabs. */
function secret() {
  try {
    const made = localStorage.getItem("chat-secret") ?? outbox.random();
    localStorage.setItem("chat-secret", made);
    return made;
  } catch {
    return (secret.once ??= outbox.random()); // storage is forbidden: for this page alone
  }
}
/** @type {string | undefined} */ secret.once = undefined;

// What comes.

client.addEventListener("message", ({ detail }) => {
  const d = detail.data;
  if (detail.topic === "room") {
    talk(everyone).lines.push(d);
    arrived(everyone, d);
  } else if (detail.topic === "who") {
    presence(d);
    showTalks();
  } else {
    const taken = take(d);
    if (taken) arrived(taken.user, taken.line);
  }
});

client.addEventListener("snapshot", ({ detail }) => {
  if (detail.topic === "who") {
    here.clear();
    detail.data.forEach(presence);
    return showTalks();
  }
  const known = new Set(detail.data.map((/** @type {any} */ line) => line.id));
  outbox.drop((item) => item.to === everyone && (item.state === "sent" || known.has(item.id)));
  talk(everyone).lines = detail.data;
  room = true;
  if (open === everyone) showTalk();
});

client.addEventListener("gap", ({ detail }) => {
  // Only the inbox has gaps: the others have snapshots.
  const text =
    detail.reason === "epoch"
      ? "The server was started anew. Direct messages that were on their way are lost."
      : "Some direct messages waited for too long and are lost.";
  for (const [user, t] of talks) {
    if (user === everyone) continue;
    const line = { id: "", by: "", name: "", text, at: Date.now(), notice: true };
    t.lines.push(line);
    if (user === open) show(line, me.user);
  }
});

function presence(/** @type {{ user: string, name: string, here: boolean }} */ p) {
  if (p.here) here.set(p.user, p.name);
  else here.delete(p.user);
  if (p.name) names.set(p.user, p.name);
}

/** A line that was not here before. */
function arrived(/** @type {string} */ user, /** @type {import("./talks.js").Line} */ line) {
  const mine = line.by === me.user;
  const waited = outbox.unsent.some((item) => item.id === line.id);
  if (waited) outbox.drop((item) => item.id === line.id);
  if (user === open) {
    $("empty").textContent = "";
    show(line, me.user);
  }
  if (!mine && (user !== open || document.hidden)) talk(user).unread++;
  if (waited) showOutbox();
  showTalks();
}

// What is written.

function deliver(/** @type {import("./outbox.js").Item} */ item) {
  const { id, to, text } = item;
  outbox.become(item, "sending");
  (to === everyone ? client.send("say", { id, text }) : client.send("tell", { id, to, text })).then(
    () => {
      if (outbox.unsent.includes(item)) outbox.become(item, "sent"); // it comes as a line
    },
    (/** @type {any} */ e) => {
      // Without a word of the server's nothing is known: the tab's next page asks again.
      if (!e.refused) return;
      outbox.become(item, "failed", e.message);
      if (e.refused === "name") become({ ...me, name: "" });
    },
  ).then(showOutbox);
  showOutbox();
}

function showOutbox() {
  showUnsent(
    outbox.unsent.filter((item) => item.to === open),
    deliver,
    (item) => {
      outbox.drop((other) => other === item);
      showOutbox();
    },
  );
  showEmpty();
}

$("say").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = /** @type {HTMLTextAreaElement} */ ($("text"));
  const words = text.value.trim();
  if (words) deliver(outbox.add(open, words));
  text.value = "";
  fit();
  toEnd();
  text.focus();
});

$("text").addEventListener("keydown", (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  /** @type {HTMLFormElement} */ ($("say")).requestSubmit();
});
$("text").addEventListener("input", fit);

/** Makes room for more lines. */
function fit() {
  const text = /** @type {HTMLTextAreaElement} */ ($("text"));
  text.rows = Math.min(6, text.value.split("\n").length);
}

$("join").addEventListener("submit", async (e) => {
  e.preventDefault();
  const input = /** @type {HTMLInputElement} */ ($("name"));
  $("name-error").textContent = "";
  try {
    become(await client.send("name", { name: input.value }));
    $("text").focus();
  } catch (error) {
    $("name-error").textContent = /** @type {Error} */ (error).message;
    input.focus();
  }
});

function become(/** @type {{ user: string, name: string }} */ person) {
  Object.assign(me, person);
  $("join").hidden = me.name !== "";
  $("say").hidden = me.name === "";
  showTalks();
}

// The conversations.

function showTalks() {
  const others = [...here].filter(([user, name]) => user !== me.user && name);
  const users = new Set([everyone, ...talks.keys(), ...others.map(([user]) => user)]);
  const name = (/** @type {string} */ user) => names.get(user) ?? "";
  const list = [...users].filter((user) => user !== me.user);
  list.sort((a, b) => Number(b === everyone) - Number(a === everyone) || Number(here.has(b)) - Number(here.has(a)) || name(a).localeCompare(name(b)));
  const focused = document.activeElement?.getAttribute("data-user");
  $("talks").replaceChildren(
    ...list.map((user) => {
      const button = /** @type {HTMLButtonElement} */ (element("button", "talk", ""));
      button.type = "button";
      button.dataset.user = user;
      const title = element("b", "name", user === everyone ? "Everyone" : name(user));
      title.dir = "auto";
      button.append(title);
      if (user !== everyone) button.append(element("span", here.has(user) ? "here" : "away", here.has(user) ? "here" : "away"));
      const { unread } = talks.get(user) ?? { unread: 0 };
      if (unread > 0) {
        const count = element("span", "unread", String(unread));
        count.append(element("span", "unseen", " unread"));
        button.append(count);
      }
      if (user === open) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => choose(user));
      const li = document.createElement("li");
      li.append(button);
      return li;
    }),
  );
  if (focused != null) /** @type {HTMLElement | null} */ ($("talks").querySelector(`[data-user="${focused}"]`))?.focus();
  const readers = [...here].filter(([user, name]) => user !== me.user && !name).length;
  $("readers").textContent = readers === 0 ? "" : readers === 1 ? "One more is reading." : readers + " more are reading.";
  const unread = [...talks.values()].reduce((sum, t) => sum + t.unread, 0);
  document.title = unread > 0 ? `(${unread}) chat` : "chat";
  const to = open === everyone ? "everyone" : name(open);
  $("heading").textContent = open === everyone ? "Everyone" : to;
  $("to").textContent =
    open === everyone
      ? `To everyone, as ${me.name}`
      : here.has(open)
        ? `To ${to}, and nobody else`
        : `To ${to}, who is away: it arrives if ${to} is back within minutes`;
  showEmpty();
}

function choose(/** @type {string} */ user) {
  open = user;
  showTalk();
  if (!$("say").hidden) $("text").focus();
}

function showTalk() {
  talk(open).unread = 0;
  showAll(talk(open).lines, me.user);
  showOutbox();
  showTalks();
}

function showEmpty() {
  const empty = (talks.get(open)?.lines.length ?? 0) === 0 && $("unsent").children.length === 0;
  $("empty").textContent = !empty
    ? ""
    : open !== everyone
      ? "Nothing yet. What you write here only the two of you see."
      : room
        ? "Nobody has said anything yet. Everyone sees at once what is said here."
        : "";
}

addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  talk(open).unread = 0;
  showTalks();
});

showConnection(client);
showTalk();
client.send("me").then((/** @type {any} */ person) => {
  become(person);
  fileAll();
  showTalk();
  for (const item of outbox.unsent) if (item.state !== "failed") deliver(item);
});
client.start();
