import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { browser, tabStorage } from "./testing/browser.mjs";
import { anyName, ask, at, client, live, welcome } from "./testing/client.mjs";
import { settle } from "./testing/fetch.mjs";

// notRefused is an error that is not the server's.
const notRefused = (message) => (e) => e.message === message && !("refused" in e);
const sent = (n, d, m = "say") => ({ t: "send", c: "*", n, m, d });

describe("a message to the server", () => {
  test("waits until the client is live, and keeps its order", (t) => {
    const b = browser(t);
    const { c } = client(b);
    c.send("say", "a");
    b.socket.open();
    c.send("say", "b");
    assert.equal(b.socket.frames.length, 1, "sent before the welcome");
    c.addEventListener("state", () => c.send("say", "c"), { once: true });
    b.socket.receive(welcome());
    c.send("say", "d");
    assert.deepEqual(anyName(b.socket.frames.slice(1)), ["a", "b", "c", "d"].map((d, i) => sent(i + 1, d)));
  });

  test("is repeated on each connection until it is answered, the same each time", async (t) => {
    const b = browser(t);
    const { c } = live(b);
    const data = { votes: [1] };
    const answers = [];
    ask(c, answers, 1, "vote", data);
    data.votes.push(2); // too late
    ask(c, answers, 2, "vote", "b");
    b.socket.receive({ t: "done", n: 2, d: "second" });
    const [first] = b.socket.frames.slice(1);
    assert.deepEqual(first.d, { votes: [1] });
    for (let i = 0; i < 3; i++) {
      b.socket.end();
      b.tick(c.state.retryAt - Date.now());
      b.socket.open();
      b.socket.receive(welcome());
      assert.deepEqual(b.socket.frames.slice(1), [first]);
    }
    ask(c, answers, 3, "vote", "c");
    assert.equal(b.socket.frames.at(-1).n, 3);
    assert.equal(b.socket.frames.at(-1).c, first.c);
    b.socket.receive({ t: "done", n: 1 }, { t: "done", n: 3, d: 3 });
    await settle();
    assert.deepEqual(answers, ['2 "second"', "1 null", "3 3"]);
  });

  test("stays within the window, on repeats too", (t) => {
    const b = browser(t);
    const { c } = live(b, {}, { window: 2 });
    const numbers = () => b.socket.frames.filter((f) => f.t === "send").map((f) => f.n);
    for (let i = 0; i < 5; i++) c.send("say", i).catch(() => {});
    assert.deepEqual(numbers(), [1, 2]);
    b.socket.receive({ t: "done", n: 2 });
    assert.deepEqual(numbers(), [1, 2], "3 before 1 was answered");
    b.socket.receive({ t: "done", n: 1 });
    assert.deepEqual(numbers(), [1, 2, 3, 4]);
    b.socket.end();
    b.tick(500);
    b.socket.open();
    b.socket.receive(welcome({ window: 1 }));
    assert.deepEqual(numbers(), [3]);
    b.socket.receive({ t: "done", n: 3 }, { t: "done", n: 4 });
    assert.deepEqual(numbers(), [3, 4, 5]);
    c.close();
  });

  test("may be without an answer with 64 others when the welcome has no window", (t) => {
    const b = browser(t);
    const { c } = live(b);
    for (let i = 0; i < 100; i++) c.send("say", i).catch(() => {});
    assert.equal(b.socket.frames.length, 1 + 64);
    c.close();
  });

  test("that is refused is an error with a word for programs", async (t) => {
    const b = browser(t);
    const { c } = live(b);
    const answer = [c.send("say"), c.send("say")];
    b.socket.receive({ t: "done", n: 1, refused: "closed", error: "The contest is closed." }, { t: "done", n: 2, refused: "unknown" });
    await assert.rejects(answer[0], { refused: "closed", message: "The contest is closed." });
    await assert.rejects(answer[1], { refused: "unknown", message: "unknown" });
  });

  test("needs no data, and may be nobody's", (t) => {
    const b = browser(t);
    const { c } = live(b);
    c.send("say");
    assert.ok(!("d" in b.socket.frames[1]));
    b.socket.receive({ t: "done" }, { t: "done", n: 7 });
    assert.equal(c.state.status, "live");
  });

  for (const [queue, limit] of [[undefined, 1000], [2, 2]]) {
    test(`is not taken when ${limit} have no answer`, async (t) => {
      const b = browser(t);
      const { c } = client(b, { queue });
      const first = c.send("say", 0);
      for (let i = 1; i < limit; i++) c.send("say", i);
      await assert.rejects(c.send("say", "one too many"), notRefused(`${limit} messages have no answer`));
      b.socket.open();
      b.socket.receive(welcome({ window: 2000 }), { t: "done", n: 1 });
      await first;
      c.send("say", "fits again");
      assert.equal(b.socket.frames.at(-1).n, limit + 1);
    });
  }

  test("that is no JSON is an error at once", async (t) => {
    const b = browser(t);
    const { c } = live(b);
    const round = {};
    round.round = round;
    await assert.rejects(c.send("say", round), TypeError);
    assert.equal(b.socket.frames.length, 1);
  });

  test("that is larger than the server takes is an error, and no number is left out", async (t) => {
    const b = browser(t);
    const { c } = client(b);
    const tooLarge = c.send("say", "é".repeat(600));
    const fits = c.send("say", "é".repeat(100));
    b.socket.open();
    b.socket.receive(welcome({ limit: 1000 }));
    await assert.rejects(tooLarge, notRefused("larger than the server takes"));
    assert.deepEqual(anyName(b.socket.frames.slice(1)), [sent(1, "é".repeat(100))]);
    b.socket.receive({ t: "done", n: 1 });
    await fits;
    await assert.rejects(c.send("say", "x".repeat(65_536)));
  });

  for (const [name, ends] of [
    ["closed", (b, c) => c.close()],
    ["refused", (b) => b.socket.end(4003)],
  ]) {
    test(`is an error when the client is ${name} before the answer`, async (t) => {
      const b = browser(t);
      const { c } = live(b);
      const answer = c.send("say", 1);
      ends(b, c);
      await assert.rejects(answer, notRefused("ended before the answer"));
      const next = c.send("say", 2); // waits for a start
      c.start();
      b.socket.open();
      b.socket.receive(welcome());
      assert.deepEqual(anyName(b.socket.frames.slice(1)), [sent(2, 2)]);
      b.socket.receive({ t: "done", n: 2 });
      await next;
    });
  }

  test("survives the browser's cache of pages, but not the next page", (t) => {
    const b = browser(t);
    const storage = tabStorage();
    const { c } = live(b, { storage });
    c.send("say", 1);
    b.window("pagehide");
    assert.deepEqual(Object.keys(JSON.parse(storage.getItem("reliablews"))), ["session", "token", "positions"]);
    b.window("pageshow");
    b.socket.open();
    b.socket.receive(welcome());
    assert.deepEqual(anyName(b.socket.frames.slice(1)), [sent(1, 1)]);
  });

  test("has a name of its client that no other client has", (t) => {
    const b = browser(t);
    const names = [0.1, 0.2].map((random) => {
      b.setRandom(random);
      live(b).c.send("say");
      return b.socket.frames.at(-1).c;
    });
    assert.notEqual(names[0], names[1]);
    for (const name of names) assert.match(name, /^[0-9a-z]{8,64}$/);
  });
});

describe("the inbox", () => {
  const inbox = { topics: { "@": at(7, "S1") } };
  const resumed = { topics: { "@": { ...at(7, "S1"), resumed: true } }, window: 99 };
  const mail = (o) => ({ t: "msg", s: "@", o, p: o - 1, d: o });
  const acks = (b) => b.socket.frames.slice(1);

  test("is acknowledged with what is sent anyway, once", (t) => {
    const b = browser(t);
    const { c } = live(b, inbox, resumed);
    b.socket.receive(mail(8), mail(9));
    c.send("say", 1);
    c.send("say", 2);
    b.socket.receive(mail(10));
    b.window("online"); // asks if the connection is alive
    assert.deepEqual(anyName(acks(b)), [
      { ...sent(1, 1), pos: { "@": 9 } },
      sent(2, 2),
      { t: "ping", ts: Date.now(), pos: { "@": 10 } },
    ]);
    b.socket.receive({ t: "pong" });
    b.tick(2_000);
    assert.equal(acks(b).length, 3);
  });

  test("is acknowledged within a second, and with every 32nd", (t) => {
    const b = browser(t);
    live(b, inbox, resumed);
    for (let o = 8; o <= 80; o++) b.socket.receive(mail(o));
    assert.deepEqual(acks(b), [39, 71].map((o) => ({ t: "ack", pos: { "@": o } })));
    b.tick(1_000);
    assert.deepEqual(acks(b).slice(2), [{ t: "ack", pos: { "@": 80 } }]);
    b.tick(1_000);
    assert.equal(acks(b).length, 3);
  });

  test("is acknowledged by a hello, and an old place never in a new session", (t) => {
    const b = browser(t);
    live(b, inbox, resumed);
    b.socket.receive(mail(8));
    b.setRandom(0.1);
    b.socket.end();
    b.tick(1_000); // the next socket is not open when the acknowledgement would be due
    b.socket.open();
    assert.deepEqual(b.socket.frames[0].topics, { "@": at(8, "S1") });
    b.socket.receive(welcome({ session: "S2", topics: { "@": { ...at(0, "S2"), resumed: false, reason: "epoch" } } }));
    b.tick(2_000);
    b.socket.receive({ t: "ping", ts: 1 });
    assert.deepEqual(acks(b), [{ t: "pong", ts: 1 }]);
  });

  test("goes on in the next page of the tab", (t) => {
    const b = browser(t);
    const storage = tabStorage();
    live(b, { ...inbox, storage }, resumed);
    b.socket.receive(mail(8));
    b.window("pagehide");
    client(b, { storage, topics: { "@": "stored" } });
    b.socket.open();
    assert.deepEqual(b.socket.frames[0], { t: "hello", session: "S1", token: "secret", topics: { "@": at(8, "S1") } });
  });
});
