import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { browser } from "./testing/browser.mjs";
import { at, client, welcome } from "./testing/client.mjs";
import { fakeFetch, settle } from "./testing/fetch.mjs";

// tokens gives "t1", "t2" and so on.
const tokens = (t) => {
  let n = 0;
  return t.mock.fn(async () => `t${++n}`);
};

describe("getToken", () => {
  test("is asked before each hello", async (t) => {
    const b = browser(t);
    const getToken = tokens(t);
    const { c } = client(b, { getToken });
    for (const auth of ["t1", "t2"]) {
      await settle();
      b.socket.open();
      assert.equal(b.socket.frames[0].auth, auth);
      b.socket.receive(welcome());
      b.socket.end();
      b.tick(c.state.retryAt - Date.now());
    }
    assert.equal(getToken.mock.callCount(), 3);
  });

  test("may answer at once", async (t) => {
    const b = browser(t);
    client(b, { getToken: () => "now" });
    await settle();
    b.socket.open();
    assert.deepEqual(b.socket.frames[0], { t: "hello", auth: "now", topics: { feed: at(5) } });
  });

  test("is asked for the other ways too", async (t) => {
    const b = browser(t);
    const f = fakeFetch();
    const { c } = client(b, { getToken: tokens(t), fetch: f.fetch });
    await settle();
    b.socket.end();
    await settle();
    assert.deepEqual(f.request.body, { t: "hello", auth: "t2", via: "stream", topics: { feed: at(5) } });
    b.tick(5_000);
    await settle();
    assert.equal(f.request.body.auth, "t3");
    f.request.frames(welcome());
    await settle();
    assert.equal(f.request.body.auth, "t4");
    b.tick(30_000);
    f.request.frames(welcome());
    await settle();
    b.tick(30_000);
    f.request.frames(welcome());
    await settle();
    b.socket.open();
    assert.match(b.socket.frames[0].auth, /^t[67]$/);
    assert.equal(c.state.via, "poll");
  });

  test("brings the client back after 4005, which is for ever without it", async (t) => {
    const b = browser(t);
    const { c } = client(b, { getToken: tokens(t) });
    await settle();
    b.socket.open();
    b.socket.end(4005, "unauthorized");
    assert.equal(c.state.status, "waiting");
    b.tick(500);
    await settle();
    b.socket.open();
    assert.equal(b.socket.frames[0].auth, "t2");
    c.close();

    const without = client(b).c;
    b.socket.open();
    b.socket.end(4005, "unauthorized");
    assert.deepEqual(without.state, { status: "refused", reason: "unauthorized", code: 4005 });
  });

  test("brings the client back after a status of 401", async (t) => {
    const b = browser(t);
    const f = fakeFetch();
    const { c } = client(b, { getToken: tokens(t), fetch: f.fetch });
    await settle();
    b.socket.end();
    await settle();
    f.request.status(401);
    await settle();
    assert.equal(c.state.status, "waiting");
  });

  for (const [name, getToken] of [
    ["throws", () => { throw new Error("logged out"); }],
    ["is rejected", () => Promise.reject(new Error("logged out"))],
  ]) {
    test(`that ${name} is a failed attempt`, async (t) => {
      const b = browser(t);
      const { c } = client(b, { getToken });
      for (const wait of [500, 1000, 2000]) {
        await settle();
        assert.deepEqual(c.state, { status: "waiting", retryAt: Date.now() + wait, reason: "logged out" });
        b.tick(wait);
      }
      assert.equal(b.sockets.length, 0);
    });
  }

  test("that hangs is a failed attempt", async (t) => {
    const b = browser(t);
    const { c } = client(b, { getToken: () => new Promise(() => {}) });
    b.tick(10_000);
    assert.equal(c.state.status, "waiting");
  });

  test("that answers too late changes nothing", async (t) => {
    const b = browser(t);
    let answer;
    const { c } = client(b, { getToken: () => new Promise((resolve) => (answer = resolve)) });
    c.close();
    answer("late");
    await settle();
    assert.equal(b.sockets.length, 0);
    assert.equal(c.state.status, "closed");
  });
});
