import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { browser, tabStorage } from "./testing/browser.mjs";
import { at, client, msg, welcome } from "./testing/client.mjs";
import { fakeFetch, settle } from "./testing/fetch.mjs";

const hello = (via, more = {}) => ({ t: "hello", ...(via && { via }), topics: { feed: at(5) }, ...more });
const S1 = { session: "S1", token: "secret" };

// blocked is a page whose WebSockets fail, with a client that has just noticed.
function blocked(t, options) {
  const b = browser(t);
  const f = fakeFetch();
  const made = client(b, { fetch: f.fetch, ...options });
  b.socket.end();
  return { b, f, ...made };
}

// streaming is one whose client has a stream.
async function streaming(t, options, more) {
  const made = blocked(t, options);
  await settle();
  made.f.request.stream();
  made.f.request.receive(welcome(more));
  await settle();
  assert.equal(made.c.state.status, "live");
  return { ...made, stream: made.f.request };
}

// polling is one whose proxy lets no stream through either.
async function polling(t, options) {
  const made = blocked(t, options);
  await settle();
  made.b.tick(5_000);
  await settle();
  assert.equal(made.f.request.body.via, "poll");
  return made;
}

describe("where no WebSocket gets through", () => {
  test("a stream is tried at once, with the same frames", async (t) => {
    const { b, f, c, heard } = blocked(t);
    assert.equal(c.state.status, "connecting");
    await settle();
    const { request } = f;
    assert.equal(request.url, "http://hall.test/ws");
    assert.equal(request.init.method, "POST");
    assert.deepEqual(request.init.headers, { "Content-Type": "application/json" });
    assert.equal(request.init.credentials, undefined, "cookies go with the same origin, as they do by default");
    assert.deepEqual(request.body, hello("stream"));

    request.stream();
    request.receive(welcome());
    await settle();
    assert.deepEqual(c.state, { status: "live", denied: [], via: "stream" });
    request.receive(msg(6, 5), { t: "wave" }, msg(7, 6));
    await settle();
    assert.deepEqual(heard, ["message feed e1/6 6", "message feed e1/7 7"]);
    assert.equal(b.sockets.length, 1);
  });

  test("a stream comes in any pieces", async (t) => {
    const { stream, heard } = await streaming(t);
    const text = `: comment\r\ndata:${JSON.stringify({ ...msg(6, 5), d: "é→𝄞" })}\r\n\r\nevent: x\ndata: ${JSON.stringify(msg(7, 6))}\n\n`;
    for (const byte of new TextEncoder().encode(text)) stream.receiveBytes(new Uint8Array([byte]));
    await settle();
    assert.deepEqual(heard, ['message feed e1/6 "é→𝄞"', "message feed e1/7 7"]);
  });

  test("a WebSocket whose handshake hangs is left after 10 s", async (t) => {
    const b = browser(t);
    const f = fakeFetch();
    client(b, { fetch: f.fetch });
    b.tick(9_999);
    assert.equal(f.requests.length, 0);
    b.tick(1);
    await settle();
    assert.equal(f.request.body.via, "stream");
    assert.ok(b.socket.closing);
  });

  test("a browser without WebSockets does without", async (t) => {
    const b = browser(t);
    const f = fakeFetch();
    client(b, { fetch: f.fetch, WebSocket: class { constructor() { throw new Error("SecurityError"); } } });
    await settle();
    assert.equal(f.request.body.via, "stream");
  });

  test("fetch null means WebSockets only", (t) => {
    const b = browser(t);
    const fetch = t.mock.method(globalThis, "fetch", () => assert.fail("fetched"));
    const { c } = client(b, { fetch: null });
    b.socket.end();
    assert.equal(c.state.status, "waiting");
    assert.equal(fetch.mock.callCount(), 0);
  });

  for (const [name, end] of [
    ["a close code of this protocol", (s) => (s.open(), s.end(4002))],
    ["a goodbye", (s) => (s.open(), s.receive({ t: "bye", delay: 9 }), s.end(1012))],
    ["one that was live", (s) => (s.open(), s.receive(welcome()), s.end(1006))],
  ]) {
    test(`a WebSocket that ends with ${name} works`, async (t) => {
      const b = browser(t);
      const f = fakeFetch();
      const { c } = client(b, { fetch: f.fetch });
      end(b.socket);
      await settle();
      assert.equal(c.state.status, "waiting");
      assert.equal(f.requests.length, 0);
    });
  }

  test("and no network either, it waits, and begins with a WebSocket again", async (t) => {
    const { b, f, c } = blocked(t);
    await settle();
    f.request.fail();
    await settle();
    assert.deepEqual(c.state, { status: "waiting", retryAt: Date.now() + 500, reason: "fetch failed" });
    b.tick(500);
    assert.equal(b.sockets.length, 2);
    assert.equal(f.requests.length, 1);
  });

  for (const [status, code] of [[400, 4000], [401, 4005], [403, 4003]]) {
    test(`a status of ${status} is for ever`, async (t) => {
      const { f, c } = blocked(t);
      await settle();
      f.request.status(status);
      await settle();
      assert.deepEqual(c.state, { status: "refused", reason: `HTTP status ${status}`, code });
    });
  }
  for (const status of [402, 404, 405, 408, 410, 429, 500, 503]) {
    test(`a status of ${status} is not`, async (t) => {
      const { f, c } = blocked(t);
      await settle();
      f.request.status(status);
      await settle();
      assert.equal(c.state.status, "waiting");
    });
  }
});

describe("a stream", () => {
  test("that was live and ends comes back as one", async (t) => {
    const { b, f, c, stream } = await streaming(t);
    stream.receive(msg(6, 5));
    await settle();
    stream.end();
    await settle();
    assert.equal(c.state.status, "waiting");
    b.tick(500);
    await settle();
    assert.deepEqual(f.request.body, hello("stream", { ...S1, topics: { feed: at(6) } }));
    assert.equal(b.sockets.length, 1);
    // It does not get through any more: back to the beginning.
    f.request.fail();
    await settle();
    b.tick(1_000);
    assert.equal(b.sockets.length, 2);
  });

  test("ends as its last frame says", async (t) => {
    const { b, f, c, stream } = await streaming(t);
    stream.receive({ t: "close", code: 4001, reason: "taken over" });
    await settle();
    assert.equal(c.state.reason, "taken over");
    assert.ok(stream.aborted);
    b.tick(500);
    await settle();
    assert.deepEqual(f.request.body, hello("stream"));

    f.request.stream();
    f.request.receive({ t: "close", code: 4003 }); // before the welcome, too
    await settle();
    assert.deepEqual(c.state, { status: "refused", reason: "closed with code 4003", code: 4003 });
  });

  test("obeys a goodbye", async (t) => {
    const { c, stream } = await streaming(t);
    stream.receive({ t: "bye", delay: 4321, reason: "server-shutdown" }, { t: "close", code: 1012, reason: "server-shutdown" });
    await settle();
    assert.deepEqual(c.state, { status: "waiting", retryAt: Date.now() + 4321, reason: "server-shutdown" });
  });

  for (const bad of ["data: {\n", `data: ${JSON.stringify(msg(9, 8))}\n`]) {
    test(`that is not of the protocol, or has a hole, is left: ${bad}`, async (t) => {
      const { c, stream, heard } = await streaming(t);
      stream.receiveBytes(new TextEncoder().encode(bad));
      await settle();
      assert.equal(c.state.status, "waiting");
      assert.ok(stream.aborted);
      assert.deepEqual(heard, []);
    });
  }

  test("answers and asks by post, one at a time, in order", async (t) => {
    const { f, c, stream } = await streaming(t);
    stream.receive({ t: "ping", ts: 7 });
    c.send("say", 1);
    await settle();
    assert.deepEqual(f.asked, ["hello", "post"]);
    const first = f.request;
    assert.deepEqual({ ...first.body, frames: first.body.frames.map((x) => x.t) }, { t: "post", ...S1, frames: ["send", "pong"] });
    const answers = [c.send("say", 2), c.send("say", 3)];
    await settle();
    assert.deepEqual(f.asked, ["hello", "post"], "a second post while the first is on its way");
    first.frames({ t: "done", n: 1 });
    await settle();
    assert.deepEqual(f.request.body.frames.map((x) => x.n), [2, 3]);
    f.request.frames({ t: "done", n: 2, d: "two" }, { t: "done", n: 3, d: "three" });
    assert.deepEqual(await Promise.all(answers), ["two", "three"]);
  });

  test("has posts no larger than the server's limit", async (t) => {
    const { f, c } = await streaming(t, {}, { limit: 1000 });
    for (let i = 0; i < 3; i++) c.send("say", "x".repeat(400));
    await settle();
    f.request.frames();
    await settle();
    assert.deepEqual(f.requests.slice(1).map((r) => r.body.frames.length), [2, 1]);
    assert.ok(f.requests[1].init.body.length < 1100);
  });

  for (const [name, fails] of [
    ["fails", (r) => r.fail()],
    ["finds no session", (r) => r.status(410)],
  ]) {
    test(`whose post ${name} is given up, and the message is repeated on the next`, async (t) => {
      const { b, f, c, stream } = await streaming(t);
      const answer = c.send("say", 1);
      await settle();
      const [sent] = f.request.body.frames;
      fails(f.request);
      await settle();
      assert.equal(c.state.status, "waiting");
      assert.ok(stream.aborted);
      b.tick(500);
      await settle();
      f.request.stream();
      f.request.receive(welcome());
      await settle();
      assert.deepEqual(f.request.body.frames, [sent]);
      f.request.frames({ t: "done", n: 1, d: "yes" });
      assert.equal(await answer, "yes");
    });
  }

  test("that is silent is found out, whatever the posts say", async (t) => {
    const { b, f, c } = await streaming(t);
    b.tick(30_000);
    b.show(true);
    await settle();
    assert.deepEqual(f.request.body.frames, [{ t: "ping", ts: Date.now() }]);
    f.request.frames({ t: "pong", ts: Date.now() });
    await settle();
    b.tick(14_999);
    assert.equal(c.state.status, "live");
    b.tick(1);
    assert.equal(c.state.status, "waiting");
  });

  test("that is dead is found within 5 s when the page is seen again", async (t) => {
    const { b, c } = await streaming(t);
    b.show(true);
    await settle();
    b.tick(5_000);
    assert.equal(c.state.status, "waiting");
  });

  for (const [name, leave, comeBack] of [
    ["frozen", (b) => b.document("freeze"), (b) => b.document("resume")],
    ["in the browser's cache", (b) => b.window("pagehide"), (b) => b.window("pageshow")],
  ]) {
    test(`is not there while the page is ${name}`, async (t) => {
      const storage = tabStorage();
      const { b, f, c, stream } = await streaming(t, { storage });
      leave(b);
      assert.ok(stream.aborted);
      assert.equal(c.state.status, "waiting");
      await settle();
      b.tick(3_600_000);
      assert.equal(f.requests.length, 1);
      comeBack(b);
      await settle();
      assert.equal(storage.items.size, 0);
      assert.deepEqual(f.request.body, hello("stream", S1));
    });
  }

  test("that ends while the page is hidden is not begun again until it is seen", async (t) => {
    const { b, f, c, stream } = await streaming(t);
    b.show(false);
    stream.end();
    await settle();
    b.tick(60_000);
    await settle();
    assert.deepEqual(c.state, { status: "waiting", reason: "hidden" });
    b.show(true);
    await settle();
    assert.equal(f.requests.length, 2);
  });

  test("is gone after close()", async (t) => {
    const { b, f, c, stream } = await streaming(t);
    c.close();
    assert.ok(stream.aborted);
    await settle();
    b.tick(3_600_000);
    assert.deepEqual([c.state.status, f.requests.length, b.sockets.length], ["closed", 1, 1]);
  });
});

describe("where no stream gets through either", () => {
  test("it polls after 5 s, each time from where it is", async (t) => {
    const { b, f, c, heard } = await polling(t);
    assert.ok(f.requests[0].aborted);
    assert.deepEqual(f.request.body, hello("poll"));
    b.tick(44_000); // a poll may be held
    assert.equal(f.requests.length, 2);
    f.request.frames(welcome(), msg(6, 5));
    await settle();
    assert.deepEqual(c.state, { status: "live", denied: [], via: "poll" });
    const states = [];
    c.addEventListener("state", (e) => states.push(e.detail.status));
    assert.deepEqual(f.request.body, hello("poll", { ...S1, topics: { feed: at(6) } }));
    f.request.frames(welcome({ topics: { feed: { ...at(6), resumed: true } } }), msg(7, 6));
    await settle();
    assert.deepEqual(heard, ["message feed e1/6 6", "message feed e1/7 7"]);
    assert.deepEqual(states, [], "the next poll is no news");
    b.tick(45_000);
    assert.equal(c.state.status, "waiting");
    b.tick(1_000);
    await settle();
    assert.equal(f.request.body.via, "poll");
  });

  test("messages to the server go by post, once", async (t) => {
    const { f, c } = await polling(t);
    f.request.frames(welcome());
    await settle();
    const poll = f.request;
    const answer = c.send("say", 1);
    await settle();
    assert.deepEqual(f.asked.slice(-2), ["hello", "post"]);
    const post = f.request;
    poll.frames(welcome());
    await settle();
    assert.equal(f.asked.at(-1), "hello", "repeated, though its post is on its way");
    post.frames({ t: "done", n: 1, d: "yes" });
    assert.equal(await answer, "yes");
  });

  test("a poll ends as its last frame says", async (t) => {
    const { f, c } = await polling(t);
    f.request.frames(welcome(), { t: "close", code: 4003, reason: "no" });
    await settle();
    assert.deepEqual(c.state, { status: "refused", reason: "no", code: 4003 });
    assert.equal(f.requests.length, 2);
  });

  test("what is denied later is told", async (t) => {
    const { f, c } = await polling(t);
    f.request.frames(welcome());
    await settle();
    f.request.frames(welcome({ denied: ["feed"] }));
    await settle();
    assert.deepEqual(c.state.denied, ["feed"]);
  });

  test("a page from a proxy is no answer", async (t) => {
    const { f, c } = await polling(t);
    f.request.stream();
    f.request.receiveBytes(new TextEncoder().encode("<html>"));
    f.request.end();
    await settle();
    assert.equal(c.state.status, "waiting");
  });
});

describe("beside another way, a WebSocket", () => {
  // minute lets one pass, with a heartbeat at its end.
  const minute = async (b, stream) => {
    b.tick(30_000);
    stream.receive({ t: "ping", ts: 1 });
    await settle();
    b.tick(30_000);
    stream.receive({ t: "ping", ts: 2 });
    await settle();
  };

  test("is tried once a minute and takes over", async (t) => {
    const { b, f, c, stream, heard } = await streaming(t);
    const states = [];
    c.addEventListener("state", (e) => states.push([e.detail.status, e.detail.via]));
    await minute(b, stream);
    assert.equal(b.sockets.length, 2);
    stream.receive(msg(6, 5));
    await settle();
    b.socket.open();
    assert.deepEqual(b.socket.frames, [hello(undefined, { ...S1, topics: { feed: at(6) } })]);
    stream.receive(msg(7, 6)); // still goes on
    await settle();
    b.socket.receive(welcome({ topics: { feed: { ...at(6), resumed: true } } }));
    assert.ok(stream.aborted);
    b.socket.receive(msg(7, 6), msg(8, 7));
    await settle();
    assert.deepEqual(heard, ["message feed e1/6 6", "message feed e1/7 7", "message feed e1/8 8"]);
    assert.deepEqual(states, [["live", undefined]]);
    const asked = f.requests.length;
    c.send("say");
    assert.equal(b.socket.frames.at(-1).t, "send");
    b.tick(40_000);
    b.socket.receive({ t: "ping", ts: 1 });
    b.tick(40_000);
    b.socket.receive({ t: "ping", ts: 1 });
    assert.equal(b.sockets.length, 2);
    assert.equal(f.requests.length, asked);
    b.socket.end();
    b.tick(500);
    assert.equal(b.sockets.length, 3);
  });

  test("is not fought by what it takes over from", async (t) => {
    const { b, c, stream } = await streaming(t);
    await minute(b, stream);
    b.socket.open();
    stream.receive({ t: "close", code: 4001, reason: "taken over" }); // comes before the welcome
    await settle();
    b.socket.receive(welcome());
    assert.deepEqual(c.state, { status: "live", denied: [], via: undefined });
    assert.equal(b.sockets.length, 2);
    b.socket.end();
    b.tick(500);
    b.socket.open();
    assert.equal(b.socket.frames[0].session, "S1", "it has forgotten its session");
  });

  test("is not fought by a poll that ends beside its hello", async (t) => {
    const { b, f, c, heard } = await polling(t);
    f.request.frames(welcome());
    await settle();
    b.tick(30_000);
    f.request.frames(welcome({ topics: {} }), msg(6, 5));
    await settle();
    b.tick(30_000);
    const asked = f.requests.length;
    f.request.frames(welcome({ topics: {} }), msg(7, 6));
    await settle();
    assert.equal(f.requests.length, asked + 1, "it polls while the WebSocket is not open");
    b.socket.open();
    f.request.frames(welcome({ topics: {} }), msg(8, 7));
    await settle();
    assert.equal(f.requests.length, asked + 1, "another poll would take the session over from the WebSocket");
    b.socket.receive(welcome({ topics: {} }), msg(8, 7), msg(9, 8));
    assert.deepEqual(c.state, { status: "live", denied: [], via: undefined });
    assert.deepEqual(heard.map((h) => h.split(" ").at(-1)), ["6", "7", "8", "9"]);
    assert.equal(b.sockets.length, 2);
  });

  test("with another session gets no places of the inbox before", async (t) => {
    const { b, stream } = await streaming(t, { topics: { "@": at(7, "S1") } }, { topics: { "@": { ...at(7, "S1"), resumed: true } } });
    await minute(b, stream);
    b.socket.open();
    stream.receive({ t: "msg", s: "@", o: 8, p: 7, d: 8 });
    await settle();
    b.socket.receive(
      welcome({ session: "S2", topics: { "@": { ...at(0, "S2"), resumed: false, reason: "epoch" } } }),
      { t: "ping", ts: 1 }, // before the gap that says so
    );
    assert.deepEqual(b.socket.frames.slice(1), [{ t: "pong", ts: 1 }]);
  });

  test("that says nothing after it took over is given up", async (t) => {
    const { b, f, c, stream } = await streaming(t);
    await minute(b, stream);
    b.socket.open();
    stream.receive({ t: "close", code: 4001 });
    await settle();
    b.tick(10_000);
    await settle();
    assert.equal(c.state.status, "connecting");
    assert.equal(f.request.body.via, "stream");
  });

  test("that ends after its hello does not stand in for the stream", async (t) => {
    const { b, c, stream } = await streaming(t);
    await minute(b, stream);
    b.socket.open();
    b.socket.end();
    stream.end();
    await settle();
    assert.equal(c.state.status, "waiting");
  });

  test("that fails changes nothing, and is tried again", async (t) => {
    const { b, c, stream, heard } = await streaming(t);
    await minute(b, stream);
    b.socket.end();
    stream.receive(msg(6, 5));
    await settle();
    assert.equal(c.state.via, "stream");
    await minute(b, stream); // this one hangs
    assert.equal(b.sockets.length, 3);
    await minute(b, stream);
    assert.equal(b.sockets.length, 4);
    assert.ok(b.sockets[2].closing);
    b.sockets[2].end();
    assert.deepEqual(heard, ["message feed e1/6 6"]);
    c.close();
    assert.ok(b.socket.closing);
  });

  test("repeats what has no answer, with the same number", async (t) => {
    const { b, f, c, stream } = await streaming(t);
    const answer = c.send("say", 1);
    await settle();
    const [sent] = f.request.body.frames;
    await minute(b, stream);
    b.socket.open();
    b.socket.receive(welcome());
    assert.deepEqual(b.socket.frames[1], sent);
    b.socket.receive({ t: "done", n: 1, d: 9 });
    assert.equal(await answer, 9);
  });

  test("is not tried by a hidden page", async (t) => {
    const { b, stream } = await streaming(t);
    b.show(false);
    await minute(b, stream);
    assert.equal(b.sockets.length, 1);
  });
});
