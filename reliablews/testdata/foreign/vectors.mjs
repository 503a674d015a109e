// Plays testdata/frames/sequences.json to the client, as PROTOCOL.md ends.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { Client } from "./client.mjs";

const place = (d) => `${d.epoch}/${d.offset}`;
const spell = (kind, d) =>
  kind === "gap" ? `gap ${d.s} ${d.p} ${place(d)} ${d.reason}` : `${kind} ${d.s} ${place(d)} ${JSON.stringify(d.d)}`;

for (const v of JSON.parse(readFileSync(new URL("../frames/sequences.json", import.meta.url)))) {
  test(v.name, { timeout: 20_000 }, async (t) => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await once(server, "listening");
    const heard = [];
    let ended = false;
    const positions = structuredClone(v.topics);
    const client = new Client(`ws://127.0.0.1:${server.address().port}`, positions, (kind, d) => {
      if (kind === "end") ended = true;
      else if (!["welcome", "ping"].includes(kind)) heard.push(spell(kind, d));
    });
    t.after(() => {
      client.close();
      for (const ws of server.clients) ws.terminate();
      server.close();
    });
    const answers = (v.asks ?? []).map(async ([m, d], i) => {
      const a = await client.send(m, d);
      return a.refused ? `${i + 1} ${a.refused}: ${a.error}` : `${i + 1} ${JSON.stringify(a.d)}`;
    });
    const [ws] = await once(server, "connection");
    const sent = [];
    let more = () => {};
    ws.on("message", (data) => {
      const f = JSON.parse(data);
      sent.push(f.c ? { ...f, c: "*" } : f);
      more();
    });
    const until = async (n) => {
      while (sent.length < n && ws.readyState === 1) await new Promise((resolve) => ((more = resolve), ws.once("close", resolve)));
    };
    await until(1);
    assert.deepEqual(sent.shift(), { t: "hello", topics: v.topics });
    for (const f of v.frames) {
      if (f.t === "done") await until(Math.min(f.n, v.asks.length));
      ws.send(JSON.stringify(f));
    }
    // Everything is read once the answer to one more ping is here, or the end.
    const want = [...(v.sends ?? []), ...(v.sendsLater ?? [])];
    if (v.sends || v.sendsLater) await until(want.length);
    if (!v.reconnects) {
      const answered = until(sent.length + 1);
      ws.send('{"t":"ping","ts":1}');
      await answered;
      assert.deepEqual(sent.pop(), { t: "pong", ts: 1, ...(sent.at(-1)?.pos || !client.positions["@"] ? {} : { pos: { "@": client.positions["@"].offset } }) });
    } else while (!ended) await new Promise((resolve) => setTimeout(resolve, 1));
    if (v.sends || v.sendsLater) assert.deepEqual(sent, want);
    assert.deepEqual(heard, v.hears);
    assert.deepEqual(client.positions, v.positions);
    if (v.answers) assert.deepEqual(await Promise.all(answers), v.answers);
    assert.equal(ended, Boolean(v.reconnects));
  });
}
