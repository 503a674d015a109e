// @ts-check
import { Client } from "/reliablews.js";

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

// "stored": a page that is loaded again goes on where it was.
const client = new Client("/ws", { topics: { ticks: "stored" }, storage: sessionStorage });

let count = 0;

/** Puts a line on top of the list. */
function line(/** @type {string} */ text, /** @type {string} */ kind) {
  const li = document.createElement("li");
  li.textContent = text;
  li.className = kind;
  $("ticks").prepend(li);
  while ($("ticks").children.length > 30) $("ticks").lastChild?.remove();
}

client.addEventListener("message", ({ detail }) => {
  const { number, at } = detail.data;
  const late = Date.now() - at > 1500; // published while this page was away
  line(`${number}: ${new Date(at).toLocaleTimeString()}${late ? ", caught up" : ""}`, late ? "late" : "");
  count++;
  $("count").textContent = `${count} ticks, each once and in order.`;
});

client.addEventListener("gap", ({ detail }) => {
  const lost = detail.from ? `${detail.position.offset - detail.from} ticks are` : "what came before is";
  line(`away for too long: ${lost} lost`, "gap");
});

client.addEventListener("state", show);
setInterval(show, 1000); // the wait goes down
$("retry").addEventListener("click", () => client.retryNow());

function show() {
  const { status, retryAt, reason } = client.state;
  const seconds = Math.max(0, Math.ceil(((retryAt ?? 0) - Date.now()) / 1000));
  const words = {
    closed: "Closed.",
    connecting: "Connecting.",
    live: "Live.",
    waiting: retryAt ? `Not connected (${reason}). Trying again in ${seconds} s.` : "Paused until you look.",
    refused: `The server does not want this page back (${reason}).`,
  };
  $("state").className = status;
  if ($("state").textContent !== words[status]) $("state").textContent = words[status];
  $("retry").hidden = status !== "waiting";
}

client.start();
