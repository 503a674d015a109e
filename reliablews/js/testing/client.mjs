// A client that was started in a fake browser, and what it says.

import assert from "node:assert/strict";

import { Client } from "../reliablews.js";

export const at = (offset, epoch = "e1") => ({ epoch, offset });
export const msg = (o, p) => ({ t: "msg", s: "feed", o, p, d: o });
export const welcome = (more = {}) => ({
  t: "welcome",
  session: "S1",
  token: "secret",
  topics: { feed: { ...at(5), resumed: true } },
  heartbeat: 30000,
  timeout: 45000,
  ...more,
});

/** Makes one that was started, and writes down what it says in the form of the vectors. */
export function client(b, options = {}) {
  const c = new Client("http://hall.test/ws", { topics: { feed: at(5) }, WebSocket: b.WebSocket, fetch: null, ...options });
  const heard = [];
  const place = (p) => `${p.epoch}/${p.offset}`;
  for (const type of ["message", "snapshot"]) {
    c.addEventListener(type, ({ detail: d }) =>
      heard.push(`${type} ${d.topic} ${place(d.position)} ${JSON.stringify(d.data)}`),
    );
  }
  c.addEventListener("gap", ({ detail: d }) => heard.push(`gap ${d.topic} ${d.from} ${place(d.position)} ${d.reason}`));
  c.start();
  return { c, heard };
}

/** Makes one that has its welcome. */
export function live(b, options, more) {
  const made = client(b, options);
  b.socket.open();
  b.socket.receive(welcome(more));
  assert.equal(made.c.state.status, "live");
  return made;
}

/** Asks the server, and writes the answers down in the form of the vectors. */
export function ask(c, answers, number, name, data) {
  c.send(name, data).then(
    (d) => answers.push(`${number} ${JSON.stringify(d)}`),
    (e) => answers.push(`${number} ${e.refused ?? "not sent"}: ${e.message}`),
  );
}

/** Frames of a client as the vectors have them: its name is any. */
export const anyName = (frames) => frames.map((f) => (f.c ? { ...f, c: "*" } : f));
