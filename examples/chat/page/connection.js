// @ts-check
// The connection in words, at the top of the page.

import { $ } from "./lines.js";

/** @typedef {import("/reliablews.js").Client} Client */

export function showConnection(/** @type {Client} */ client) {
  let heard = Date.now(); // when the page was last live
  let before = client.state.status;
  const show = () => {
    const { status, retryAt = 0, reason } = client.state;
    if (before === "live" && status !== "live") heard = Date.now();
    before = status;
    const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    const clock = new Date(heard).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
    const words = {
      closed: "Closed",
      connecting: "Connecting",
      live: "Live",
      waiting: !navigator.onLine
        ? "Offline, showing " + clock
        : retryAt
          ? "Reconnecting in " + seconds + " s"
          : "Paused until you look",
      refused: "Not connected: " + reason,
    };
    document.body.dataset.status = status;
    if ($("state").textContent !== words[status]) $("state").textContent = words[status];
    $("retry").hidden = status !== "waiting";
  };
  client.addEventListener("state", show);
  addEventListener("offline", show);
  addEventListener("online", show);
  setInterval(show, 500); // the wait goes down
  $("retry").addEventListener("click", () => client.retryNow());
}
