// The live connection of a page, and its state in words at the top.

import { Client } from "/reliablews.js";

import { $, announce, put } from "./page.js";
import { connection } from "./words.js";

/**
 * Follows a topic from the position that the page was made at.
 * @param {string} topic
 * @param {{epoch: string, seq: number}} from
 * @param {object} on
 * @param {(data: any) => void} on.message
 * @param {(data: any, at: {epoch: string, offset: number}) => void} on.snapshot
 * @param {() => void} [on.live] the connection is there, or there again
 * @param {() => void} [on.denied] the topic is not for this visitor any more
 */
export function follow(topic, from, on) {
  const client = new Client("/ws", { topics: { [topic]: { epoch: from.epoch, offset: from.seq } } });
  const box = $("connection");
  const text = $("connection-text");
  const retry = $("connection-retry");
  const now = {
    status: /** @type {"closed"|"connecting"|"live"|"waiting"|"refused"} */ ("connecting"),
    retryAt: /** @type {number|undefined} */ (undefined),
    online: navigator.onLine,
    seen: Date.now(),
    before: false,
    missed: false,
  };
  let said = "connecting";

  function show() {
    const words = connection(now, Date.now());
    box.dataset.kind = words.kind;
    put(text, words.text);
    put(retry, words.action);
    retry.hidden = !words.action;
    // The countdown is for the eyes; a change of state is for the ears too.
    if (words.kind !== said) {
      if (!(words.kind === "live" && said === "connecting" && !now.before)) announce(words.text);
      said = words.kind;
    }
  }

  client.addEventListener("message", (/** @type {any} */ e) => {
    if (e.detail.topic === topic) on.message(e.detail.data);
  });
  client.addEventListener("snapshot", (/** @type {any} */ e) => {
    if (e.detail.topic !== topic) return;
    now.missed = false;
    on.snapshot(e.detail.data, e.detail.position);
    show();
  });
  client.addEventListener("gap", (/** @type {any} */ e) => {
    if (e.detail.topic !== topic) return;
    now.missed = true;
    show();
  });
  client.addEventListener("state", (/** @type {any} */ e) => {
    const { status, retryAt, denied } = e.detail;
    if (now.status === "live" && status !== "live") now.seen = Date.now();
    now.status = status;
    now.retryAt = retryAt;
    show();
    if (status !== "live") return;
    now.before = true;
    if (denied?.includes(topic)) on.denied?.();
    else on.live?.();
  });
  retry.addEventListener("click", () => {
    if (now.missed || now.status === "refused") location.reload();
    else client.retryNow();
  });
  for (const event of ["online", "offline"]) {
    addEventListener(event, () => {
      now.online = navigator.onLine;
      show();
    });
  }
  setInterval(() => {
    if (now.status === "waiting") show();
  }, 500);

  show();
  client.start();
  return client;
}
