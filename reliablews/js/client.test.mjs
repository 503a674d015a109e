import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { Client } from "./reliablews.js";
import { browser, tabStorage } from "./testing/browser.mjs";
import { anyName, ask, at, client, live, msg, welcome } from "./testing/client.mjs";
import { settle } from "./testing/fetch.mjs";

const vectors = (name) => JSON.parse(readFileSync(new URL(`../testdata/frames/${name}`, import.meta.url), "utf8"));

describe("the vectors", () => {
  for (const v of vectors("sequences.json")) {
    test(v.name, async (t) => {
      const b = browser(t);
      const { c, heard } = client(b, { topics: v.topics });
      const answers = [];
      (v.asks ?? []).forEach((asked, i) => ask(c, answers, i + 1, ...asked));
      b.socket.open();
      const [socket] = b.sockets;
      assert.deepEqual(socket.frames[0], { t: "hello", topics: v.topics });
      socket.receive(...v.frames);
      assert.deepEqual(heard, v.hears);
      assert.deepEqual(c.positions, v.positions);
      if (v.sends) assert.deepEqual(anyName(socket.frames.slice(1)), v.sends);
      await settle();
      assert.deepEqual(answers, v.answers ?? []);
      const before = socket.frames.length;
      b.tick(1_000);
      if (v.sendsLater) assert.deepEqual(anyName(socket.frames.slice(before)), v.sendsLater);
      b.tick(9_000);
      assert.equal(b.sockets.length > 1, v.reconnects ?? false);
      if (v.reconnects) {
        b.socket.open();
        assert.deepEqual(b.socket.frames[0].topics, v.positions);
      }
    });
  }

  test("what the client sends is in the vectors, byte for byte", (t) => {
    const frames = Object.fromEntries(vectors("client.json").map((v) => [v.name, v.frame]));
    const b = browser(t);
    client(b, { topics: { feed: null } });
    b.socket.open();
    b.socket.receive(welcome(), { t: "ping", ts: 1795543200000 });
    assert.deepEqual(b.socket.sent, [frames["hello of a newcomer"], frames.pong]);

    const { c } = client(b);
    c.send("say", { text: "hello" });
    c.send("say");
    b.socket.open();
    b.socket.receive(welcome());
    // The name of the client is its own, and so is the second number.
    const sent = b.socket.sent.slice(1).map((text) => text.replace(/"c":"\w+"/, '"c":"k3j9x0"').replace('"n":2', '"n":1'));
    assert.deepEqual(sent, [frames["a message"], frames["a message without data"]]);

    client(b, { topics: { feed: at(412, "6f1d02c3884e90ab") } });
    b.socket.open();
    assert.deepEqual(b.socket.sent, [frames["hello with a position"]]);

    client(b, { topics: {} });
    b.socket.open();
    b.socket.receive(welcome({ topics: {} }));
    b.socket.end();
    b.tick(1000);
    b.socket.open();
    assert.deepEqual(b.socket.sent, [frames["hello of a session"]]);

    client(b, { topics: { "@": null } });
    b.socket.open();
    b.socket.receive(
      welcome({ topics: { "@": { ...at(11, "S1"), resumed: true } } }),
      { t: "msg", s: "@", o: 12, p: 11 },
    );
    b.tick(1000);
    assert.deepEqual(b.socket.sent.slice(1), [frames["ack of an inbox"]]);
  });
});

test("the hub's address follows the page's", (t) => {
  const b = browser(t);
  for (const [url, want] of [
    ["https://hall.test/ws", "wss://hall.test/ws"],
    ["http://hall.test:3000/ws?x=1", "ws://hall.test:3000/ws?x=1"],
    ["wss://hall.test/ws", "wss://hall.test/ws"],
  ]) {
    client(b, {}).c.close();
    new Client(url, { topics: {}, WebSocket: b.WebSocket, fetch: null }).start();
    assert.equal(b.socket.url, want);
  }
  globalThis.location = { href: "https://hall.test/winners.html" };
  t.after(() => delete globalThis.location);
  new Client("/ws", { topics: {}, WebSocket: b.WebSocket, fetch: null }).start();
  assert.equal(b.socket.url, "wss://hall.test/ws");
  assert.equal(b.socket.protocol, "reliablews.v1");
});

test("the page is told of each state", (t) => {
  const b = browser(t);
  const c = new Client("ws://hall.test/ws", { topics: { feed: null }, WebSocket: b.WebSocket, fetch: null });
  const states = [];
  c.addEventListener("state", (e) => states.push(e.detail));
  assert.deepEqual(c.state, { status: "closed" });
  c.start();
  c.start(); // twice is once
  b.socket.open();
  b.socket.receive(welcome({ denied: ["staff"] }));
  b.socket.end(1011, "oops");
  assert.equal(c.state, states.at(-1));
  c.close();
  assert.deepEqual(states, [
    { status: "connecting" },
    { status: "live", denied: ["staff"], via: undefined },
    { status: "waiting", retryAt: Date.now() + 500, reason: "oops" },
    { status: "closed" },
  ]);
  b.tick(60_000);
  assert.equal(b.sockets.length, 1, "connected after close()");
});

describe("waits between attempts", () => {
  // waits fails n times and returns how long the client waits each time.
  const waits = (b, c, n) =>
    Array.from({ length: n }, () => {
      b.socket.end();
      const wait = c.state.retryAt - Date.now();
      const before = b.sockets.length;
      b.tick(Math.max(0, Math.ceil(wait) - 1));
      if (wait > 1) assert.equal(b.sockets.length, before, "came too early");
      b.tick(1);
      assert.equal(b.sockets.length, before + 1, "did not come");
      return Math.round(wait);
    });

  test("double up to 30 s, and never end", (t) => {
    const b = browser(t);
    b.setRandom(0.999999);
    const { c } = client(b);
    assert.deepEqual(waits(b, c, 8), [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  });

  test("are spread from nothing on", (t) => {
    const b = browser(t);
    const { c } = client(b);
    b.setRandom(0.25);
    assert.deepEqual(waits(b, c, 3), [250, 500, 1000]);
    b.setRandom(0);
    assert.deepEqual(waits(b, c, 3), [0, 0, 0]);
  });

  test("begin anew only after a connection that has lasted", (t) => {
    const b = browser(t);
    b.setRandom(0.999999);
    const { c } = client(b);
    assert.deepEqual(waits(b, c, 3), [1000, 2000, 4000]);
    const connect = (ms) => {
      b.socket.open();
      b.socket.receive(welcome());
      b.tick(ms);
    };
    connect(9_999);
    assert.deepEqual(waits(b, c, 1), [8000]);
    connect(10_000);
    assert.deepEqual(waits(b, c, 2), [1000, 2000]);
  });

  test("do not begin anew after one that lasted without a welcome", (t) => {
    const b = browser(t);
    b.setRandom(0.999999);
    const { c } = client(b);
    assert.deepEqual(waits(b, c, 2), [1000, 2000]);
    b.tick(9_000);
    b.socket.open();
    b.tick(9_000);
    assert.deepEqual(waits(b, c, 1), [4000]);
  });

  test("begin anew when the page does", (t) => {
    const b = browser(t);
    b.setRandom(0.999999);
    const { c } = client(b);
    assert.deepEqual(waits(b, c, 2), [1000, 2000]);
    c.close();
    c.start();
    assert.deepEqual(waits(b, c, 1), [1000]);
  });

  test("are not disturbed by what happens meanwhile", (t) => {
    const b = browser(t);
    const { c } = live(b);
    b.socket.end();
    const { state } = c;
    b.window("offline");
    b.show(false);
    assert.equal(c.state, state);
    b.tick(499);
    assert.equal(c.state, state);
    b.tick(1);
    assert.deepEqual(c.state, { status: "waiting", reason: "hidden" });
  });

  test("are those of the welcome", (t) => {
    const b = browser(t);
    b.setRandom(0.999999);
    const { c } = client(b);
    const connect = (backoff) => {
      b.socket.open();
      b.socket.receive(welcome({ backoff }));
    };
    connect({ start: 100, factor: 3, max: 500 });
    assert.deepEqual(waits(b, c, 4), [100, 300, 500, 500]);
    connect({ start: 100, factor: 3, max: 500 }); // the same: they go on
    assert.deepEqual(waits(b, c, 1), [500]);
    for (const bad of [{ start: 0, factor: 2, max: 9 }, { start: 5, factor: 0.5, max: 9 }, { start: 5, factor: 2, max: 4 }, {}]) {
      connect(bad);
      assert.deepEqual(waits(b, c, 1), [500]);
    }
  });
});

describe("a connection that has died silently", () => {
  test("is given up when the handshake takes longer than 10 s", (t) => {
    const b = browser(t);
    const { c } = client(b);
    b.tick(9_999);
    assert.equal(c.state.status, "connecting");
    b.tick(1);
    assert.equal(c.state.status, "waiting");
    assert.ok(b.socket.closing);
    b.tick(500);
    assert.equal(b.sockets.length, 2);
  });

  test("is given up when no welcome comes within 10 s", (t) => {
    const b = browser(t);
    const { c } = client(b);
    b.tick(9_000);
    b.socket.open();
    b.tick(9_999);
    assert.equal(c.state.status, "connecting");
    b.tick(1);
    assert.deepEqual(c.state, { status: "waiting", reason: "silent", retryAt: Date.now() + 500 });
  });

  test("is given up after 45 s, though its close never comes, and is not listened to", (t) => {
    const b = browser(t);
    const { c, heard } = live(b);
    const dead = b.socket;
    b.tick(30_000);
    dead.receive({ t: "ping", ts: 1 });
    b.tick(44_999);
    assert.equal(c.state.status, "live");
    b.tick(1);
    assert.equal(c.state.status, "waiting");
    assert.ok(dead.closing);
    dead.receive(msg(6, 5));
    b.tick(500);
    assert.equal(c.state.status, "connecting");
    dead.end(1006);
    assert.equal(c.state.status, "connecting", "the old connection's end was taken for the new one's");
    assert.deepEqual(heard, []);
  });

  test("is given up after the timeout of the welcome", (t) => {
    const b = browser(t);
    const { c } = client(b);
    b.socket.open();
    b.socket.receive(welcome({ timeout: 3000 }));
    b.tick(2_999);
    assert.equal(c.state.status, "live");
    b.tick(1);
    assert.equal(c.state.status, "waiting");
  });

  test("is not asked before it is open", (t) => {
    const b = browser(t);
    const { c } = client(b);
    b.window("online");
    assert.equal(c.state.status, "connecting");
    b.socket.open();
    assert.equal(b.socket.sent.length, 1);
  });

  for (const [name, happens] of [
    ["seen again", (b) => b.show(true)],
    ["online again", (b) => b.window("online")],
    ["offline", (b) => b.window("offline")],
  ]) {
    test(`is found within 5 s when the page is ${name}`, (t) => {
      const b = browser(t);
      const { c } = live(b);
      happens(b);
      assert.deepEqual(b.socket.frames.at(-1), { t: "ping", ts: Date.now() });
      b.tick(4_999);
      b.socket.receive({ t: "pong", ts: Date.now() }); // it is alive
      b.tick(44_999);
      assert.equal(c.state.status, "live");
      happens(b);
      b.tick(5_000);
      assert.equal(c.state.status, "waiting");
    });
  }
});

describe("a page that is not seen", () => {
  test("does not connect until it is", (t) => {
    const b = browser(t);
    b.show(false);
    const { c } = client(b);
    assert.deepEqual(c.state, { status: "waiting", reason: "hidden" });
    b.window("online");
    c.retryNow();
    b.tick(60_000);
    assert.equal(b.sockets.length, 0);
    b.show(true);
    assert.equal(b.sockets.length, 1);
    assert.equal(c.state.status, "connecting");
  });

  test("keeps its connection, and does not come back after losing it until it is seen", (t) => {
    const b = browser(t);
    const { c, heard } = live(b);
    b.show(false);
    b.socket.receive(msg(6, 5));
    assert.deepEqual(heard, ["message feed e1/6 6"]);
    assert.equal(b.socket.sent.length, 1, "a hidden page asks for nothing");
    b.socket.end();
    b.tick(500);
    assert.deepEqual(c.state, { status: "waiting", reason: "hidden" });
    b.tick(3_600_000);
    assert.equal(b.sockets.length, 1);
    b.show(true);
    b.socket.open();
    assert.deepEqual(b.socket.frames[0], { t: "hello", session: "S1", token: "secret", topics: { feed: at(6) } });
  });

  for (const event of ["visible", "online", "the page's retry"]) {
    test(`waits no longer on: ${event}`, (t) => {
      const b = browser(t);
      const { c } = client(b);
      b.socket.end();
      if (event === "visible") b.show(true);
      else if (event === "online") b.window(event);
      else c.retryNow();
      assert.equal(b.sockets.length, 2);
      b.tick(9_999);
      assert.equal(b.sockets.length, 2, "the wait was still running");
    });
  }

  test("has no connection in the browser's cache, and goes on when it comes back", (t) => {
    const b = browser(t);
    const { c } = live(b);
    b.socket.receive(msg(6, 5));
    b.window("pagehide");
    assert.ok(b.sockets[0].closing);
    assert.deepEqual(c.state, { status: "waiting", reason: "hidden" });
    b.tick(3_600_000);
    assert.equal(b.sockets.length, 1);
    b.window("pageshow");
    b.socket.open();
    assert.deepEqual(b.socket.frames[0].topics, { feed: at(6) });
  });

  test("has no connection while it is frozen", (t) => {
    const b = browser(t);
    const { c } = live(b);
    b.show(false);
    b.document("freeze");
    assert.ok(b.sockets[0].closing);
    assert.equal(c.state.status, "waiting");
    b.document("resume"); // not seen yet
    assert.equal(b.sockets.length, 1);
    b.show(true);
    assert.equal(b.sockets.length, 2);
  });
});

describe("the session", () => {
  test("and the places pass to the next page of the tab, never to a second tab", (t) => {
    const b = browser(t);
    const storage = tabStorage();
    live(b, { storage });
    b.socket.receive(msg(6, 5));
    assert.equal(storage.items.size, 0, "a duplicate of this tab would find a session that is in use");
    b.window("pagehide");
    const next = client(b, { storage, topics: { feed: "stored", staff: "stored", other: at(1) } });
    assert.equal(storage.items.size, 0);
    b.socket.open();
    assert.deepEqual(b.socket.frames[0], {
      t: "hello",
      session: "S1",
      token: "secret",
      topics: { feed: at(6), staff: null, other: at(1) },
    });
    next.c.close();
  });

  test("is taken from storage again when the page comes back from the cache", (t) => {
    const b = browser(t);
    const storage = tabStorage();
    live(b, { storage });
    b.window("pagehide");
    assert.equal(storage.items.size, 1);
    b.window("pageshow");
    assert.equal(storage.items.size, 0);
    b.socket.open();
    assert.equal(b.socket.frames[0].session, "S1");
  });

  test("is still this page's when another one had it meanwhile", (t) => {
    const b = browser(t);
    const storage = tabStorage();
    const number = () => JSON.parse(b.socket.sent[0]).n;
    live(b, { storage });
    b.window("pagehide");
    b.tick(60_000);
    const next = client(b, { storage, topics: { feed: "stored" } });
    b.socket.open();
    const others = number();
    b.socket.end(); // and dials again, as often as the network breaks
    b.tick(500);
    b.socket.open();
    assert.ok(number() > others, "hellos of one page count up");
    next.c.close();
    b.tick(60_000);
    const before = number();
    b.window("pageshow");
    b.socket.open();
    assert.equal(b.socket.frames[0].session, "S1");
    assert.ok(number() > before, "a hub would take it for one that the network held back");
  });

  test("is not fought over", (t) => {
    const b = browser(t);
    live(b);
    b.socket.end(4001, "taken over");
    b.tick(500);
    b.socket.open();
    assert.deepEqual(b.socket.frames[0], { t: "hello", topics: { feed: at(5) } });
  });

  test("is not kept by a client that was closed, which hears nothing any more", (t) => {
    const b = browser(t);
    const storage = tabStorage();
    const { c } = live(b, { storage });
    c.close();
    b.window("pagehide");
    b.window("pageshow");
    assert.deepEqual(c.state, { status: "closed" });
    assert.equal(storage.items.size, 0);
    assert.equal(b.sockets.length, 1);
  });

  test("does without a storage that refuses", (t) => {
    const b = browser(t);
    const refuse = () => {
      throw new Error("not here");
    };
    const { c } = live(b, { storage: { getItem: refuse, setItem: refuse, removeItem: refuse } });
    b.window("pagehide");
    b.window("pageshow");
    assert.equal(c.state.status, "connecting");
  });
});

describe("the end of a connection", () => {
  test("with a goodbye is followed by its delay", (t) => {
    const b = browser(t);
    const { c } = live(b);
    b.socket.receive({ t: "bye", delay: 4321, reason: "server-shutdown" });
    b.socket.end(1012, "server-shutdown");
    assert.deepEqual(c.state, { status: "waiting", retryAt: Date.now() + 4321, reason: "server-shutdown" });
    b.tick(4320);
    assert.equal(b.sockets.length, 1);
    b.tick(1);
    assert.equal(b.sockets.length, 2);
    b.socket.end(); // the next wait is its own again
    assert.equal(c.state.retryAt - Date.now(), 1000);
  });

  test("need not come after a goodbye", (t) => {
    const b = browser(t);
    const { c } = live(b);
    b.socket.receive({ t: "bye", delay: 4321, reason: "server-shutdown" });
    b.tick(5_000);
    assert.equal(c.state.retryAt - Date.now(), 4321);
  });

  test("may be a goodbye instead of a welcome", (t) => {
    const b = browser(t);
    const { c } = client(b);
    b.socket.open();
    b.socket.receive({ t: "bye", delay: 1000 });
    b.socket.end(1012);
    assert.equal(c.state.retryAt - Date.now(), 1000);
  });

  for (const code of [1002, 1003, 1008, 1009, 4000, 4003]) {
    test(`with ${code} is for ever, until the page starts again`, (t) => {
      const b = browser(t);
      const { c } = live(b);
      const told = [];
      c.addEventListener("refused", (e) => told.push(c.state.status, e.detail));
      b.socket.end(code, "no");
      assert.deepEqual(c.state, { status: "refused", reason: "no", code });
      assert.deepEqual(told, ["refused", { reason: "no", code }]);
      b.tick(3_600_000);
      b.window("online");
      b.show(true);
      c.retryNow();
      assert.equal(b.sockets.length, 1);
      c.start();
      assert.equal(b.sockets.length, 2);
    });
  }

  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4001, 4002, 4004, 4999]) {
    test(`with ${code} is not for ever`, (t) => {
      const b = browser(t);
      live(b);
      b.socket.end(code);
      b.tick(500);
      assert.equal(b.sockets.length, 2);
    });
  }

  test("is for ever when the server speaks something else", (t) => {
    const b = browser(t);
    const { c } = client(b);
    b.socket.protocol = "";
    b.socket.open();
    assert.equal(c.state.status, "refused");
    assert.deepEqual(b.socket.sent, []);
  });

  test("is not for ever when the browser refuses to dial", (t) => {
    const b = browser(t);
    let refuse = true;
    class Refusing extends b.WebSocket {
      constructor(...args) {
        if (refuse) throw new Error("SecurityError");
        super(...args);
      }
    }
    const { c } = client(b, { WebSocket: Refusing });
    assert.equal(c.state.status, "waiting");
    assert.match(c.state.reason, /SecurityError/);
    refuse = false;
    b.tick(500);
    assert.equal(c.state.status, "connecting");
  });
});

describe("frames that are not of the protocol end the connection", () => {
  for (const [name, text] of [
    ["no JSON", "hello"],
    ["null", "null"],
    ["a message of a topic without a position", JSON.stringify({ t: "msg", s: "other", o: 1, p: 0, d: 1 })],
  ]) {
    test(name, (t) => {
      const b = browser(t);
      const { c } = live(b);
      b.socket.receiveText(text);
      assert.equal(c.state.status, "waiting");
      assert.ok(b.socket.closing);
    });
  }

  test("anything before the welcome", (t) => {
    const b = browser(t);
    const { c, heard } = client(b);
    b.socket.open();
    b.socket.receive(msg(6, 5));
    assert.equal(c.state.status, "waiting");
    assert.deepEqual([heard, c.positions], [[], { feed: at(5) }]);
  });
});

describe("a listener", () => {
  test("that throws breaks nothing", (t) => {
    const thrown = t.mock.method(process, "nextTick", () => {}); // there Node throws it again
    const b = browser(t);
    const { c, heard } = live(b);
    c.addEventListener("message", () => {
      throw new Error("a bug of the page");
    });
    b.socket.receive(msg(6, 5), msg(7, 6));
    thrown.mock.restore();
    assert.deepEqual(heard, ["message feed e1/6 6", "message feed e1/7 7"]);
    assert.equal(thrown.mock.callCount(), 2);
    assert.equal(c.state.status, "live");
  });

  test("finds the message in the positions already", (t) => {
    const b = browser(t);
    const { c } = live(b);
    let seen;
    c.addEventListener("message", () => (seen = c.positions));
    b.socket.receive(msg(6, 5));
    assert.deepEqual(seen, { feed: at(6) });
  });

  for (const type of ["state", "message"]) {
    test(`of "${type}" may close the client`, (t) => {
      const b = browser(t);
      const { c, heard } = client(b);
      c.addEventListener(type, () => c.state.status === "live" && c.close());
      b.socket.open();
      b.socket.receive(welcome(), msg(6, 5), msg(7, 6));
      assert.equal(c.state.status, "closed");
      assert.deepEqual(heard, type === "state" ? [] : ["message feed e1/6 6"]);
      b.tick(60_000);
      assert.equal(b.sockets.length, 1);
      c.start();
      b.socket.open();
      assert.deepEqual(b.socket.frames[0].topics, c.positions);
    });
  }
});
