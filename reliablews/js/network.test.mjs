// The client with a real clock, a real fetch and a server that speaks
// PROTOCOL.md over a real network.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import "./testing/node18.mjs";
import { Client } from "./reliablews.js";
import { Server } from "./testing/server.mjs";
import { NodeWebSocket } from "./testing/websocket.mjs";

// until resolves with the first state of that status.
const until = (c, status) =>
  new Promise((resolve) => {
    const look = () => {
      if (c.state.status !== status) return;
      c.removeEventListener("state", look);
      resolve(c.state);
    };
    c.addEventListener("state", look);
    look();
  });

// start follows a server from the beginning.
function start(t, url) {
  const c = new Client(url, { topics: { feed: { epoch: "e1", offset: 0 } }, WebSocket: NodeWebSocket });
  t.after(() => c.close());
  const heard = [];
  c.addEventListener("message", (e) => heard.push(e.detail.data));
  c.start();
  return { c, heard, next: () => once(c, "message") };
}

test("a server without WebSockets is followed by a stream, across cuts and a restart", async (t) => {
  let server = await new Server().listen();
  t.after(() => server.close());
  server.publish("a");
  const { c, heard, next } = start(t, server.url);
  await next();
  assert.equal(c.state.via, "stream");
  assert.deepEqual(await c.send("say", "hello"), { heard: "hello" });

  let message = next();
  server.publish("é→𝄞".repeat(100_000)); // many pieces
  await message;

  const lost = until(c, "waiting");
  server.cut();
  await lost;
  message = next();
  server.publish("c");
  await message;

  const { port } = server;
  const restarted = until(c, "waiting");
  await server.close();
  await restarted;
  const answer = c.send("say", "meanwhile");
  server = await new Server().listen(port);
  for (const d of ["a", "b", "c", "d"]) server.publish(d);
  assert.deepEqual(await answer, { heard: "meanwhile" });
  if (heard.length < 4) await next();
  assert.deepEqual(heard.map((d) => d.slice(0, 2)), ["a", "é→", "c", "d"]);
  assert.deepEqual(server.said, ["meanwhile"]);
});

test("behind a proxy that holds answers back it polls", async (t) => {
  const server = await new Server().listen();
  t.after(() => server.close());
  server.buffering = true;
  const { c, heard, next } = start(t, server.url);
  assert.equal((await until(c, "live")).via, "poll"); // after 5 s
  const answers = await Promise.all(["a", "b", "c"].map((d) => c.send("say", d)));
  assert.deepEqual(answers, [{ heard: "a" }, { heard: "b" }, { heard: "c" }]);
  for (const d of ["1", "2", "3"]) {
    const message = next();
    server.publish(d);
    await message;
  }
  assert.deepEqual(heard, ["1", "2", "3"]);
  assert.deepEqual(server.said, ["a", "b", "c"]);
  assert.ok(server.hellos.length >= 4);
});

test("nothing is left behind by close()", async (t) => {
  const server = await new Server().listen();
  t.after(() => server.close());
  const { c } = start(t, server.url);
  await until(c, "live");
  const answer = c.send("say", 1);
  c.close();
  await assert.rejects(answer);
  assert.equal(c.state.status, "closed");
});
