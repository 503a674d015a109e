import assert from "node:assert/strict";
import test from "node:test";

import { FeedModel } from "../static/feed-model.js";

const at = (offset, epoch = "e1") => ({ epoch, offset });
const entry = (number, more = {}) => ({
  id: `id${number}`, number, category: "best", caption: `caption ${number}`, imageUrl: `/uploads/${number}`,
  width: 8, height: 10, artist: "Anonymous Artist", createdAt: number, ...more,
});
const snapshot = (...entries) => ({
  categories: [{ id: "worst", name: "Worst" }, { id: "best", name: "Best" }],
  feed: { worst: entries.filter((e) => e.category === "worst"), best: entries.filter((e) => e.category === "best") },
  winners: { worst: [], best: [] },
  winnersAvailable: false,
});
const say = (event, data) => ({ event, data });
const numbers = (model, category = "best") => model.entries(category).map((e) => e.number);
const photo = { key: "k1", category: "best", caption: "Koi", preview: "blob:1" };

test("entries are newest first, whatever order they come in", () => {
  const model = new FeedModel(snapshot(entry(3), entry(1)), at(3));
  model.apply([say("newSubmission", entry(5))]);
  model.apply([say("newSubmission", entry(4)), say("newSubmission", entry(2))]);
  assert.deepEqual(numbers(model), [5, 4, 3, 2, 1]);
  assert.equal(model.count("best"), 5);
});

test("an entry that comes twice is there once, as it came last", () => {
  const model = new FeedModel(snapshot(entry(1)), at(1));
  assert.deepEqual(model.apply([say("newSubmission", entry(2))]).added.map((e) => e.number), [2]);
  assert.deepEqual(model.apply([say("newSubmission", entry(2, { caption: "better" }))]).added, []);
  assert.deepEqual(numbers(model), [2, 1]);
  assert.equal(model.entries("best")[0].caption, "better");
});

test("a hidden entry goes, and comes back at its place", () => {
  const model = new FeedModel(snapshot(entry(3), entry(2), entry(1)), at(3));
  assert.deepEqual(model.apply([say("submissionRemoved", { id: "id2", category: "best" })]).removed, ["id2"]);
  assert.deepEqual(numbers(model), [3, 1]);
  model.apply([say("newSubmission", entry(2))]);
  assert.deepEqual(numbers(model), [3, 2, 1]);
});

test("an entry that comes and goes in one change was never new", () => {
  const model = new FeedModel(snapshot(), at(0));
  const change = model.apply([say("newSubmission", entry(1)), say("submissionRemoved", { id: "id1", category: "best" })]);
  assert.deepEqual(change.added, []);
});

test("a snapshot replaces everything", () => {
  const model = new FeedModel(snapshot(entry(2), entry(1)), at(2));
  model.apply([say("winnersUpdated", { winners: { best: [{ id: "id1" }] }, winnersAvailable: true })]);
  model.replace(snapshot(entry(9), entry(1)), at(9));
  assert.deepEqual(numbers(model), [9, 1]);
  assert.deepEqual(model.winners.best, []);
  assert.equal(model.winnersAvailable, false);
});

test("entries of a category that is missing are gone", () => {
  const model = new FeedModel(snapshot(entry(2), entry(1, { category: "worst" })), at(2));
  const change = model.apply([say("categoriesUpdated", { categories: [{ id: "best", name: "Finest" }] })]);
  assert.equal(change.categories, true);
  assert.deepEqual(change.removed, ["id1"]);
  assert.deepEqual(model.categories, [{ id: "best", name: "Finest" }]);
  assert.deepEqual(numbers(model, "worst"), []);
});

test("winners are replaced as a whole", () => {
  const model = new FeedModel(snapshot(entry(1)), at(1));
  const winners = { worst: [], best: [{ id: "id1", caption: "c", imageUrl: "/" }] };
  assert.equal(model.apply([say("winnersUpdated", { winners, winnersAvailable: true })]).winners, true);
  assert.deepEqual(model.winners, winners);
  assert.equal(model.winnersAvailable, true);
});

test("a message of a later version changes nothing", () => {
  const model = new FeedModel(snapshot(entry(1)), at(1));
  assert.deepEqual(model.apply([say("phaseChanged", {})]), { added: [], removed: [], categories: false, winners: false });
  assert.deepEqual(numbers(model), [1]);
});

test("the own entry is there once when the answer comes first", () => {
  const model = new FeedModel(snapshot(entry(1)), at(1));
  model.send(photo);
  model.progress(1);
  model.acknowledge(entry(2, { caption: "Koi" }), at(2));
  assert.equal(model.draft, null);
  assert.deepEqual(numbers(model), [2, 1]);
  assert.deepEqual(model.apply([say("newSubmission", entry(2, { caption: "Koi" }))]).added, []);
  assert.deepEqual(numbers(model), [2, 1]);
});

test("the own entry is there once when the stream comes first", () => {
  const model = new FeedModel(snapshot(entry(1, { caption: "Koi" })), at(1));
  model.send(photo);
  assert.deepEqual(numbers(model), [1], "an older entry with the same caption stays");
  model.progress(1);
  model.apply([say("newSubmission", entry(2, { caption: "Koi" }))]);
  assert.deepEqual(numbers(model), [1], "the draft stands for it");
  model.acknowledge(entry(2, { caption: "Koi" }), at(2));
  assert.deepEqual(numbers(model), [2, 1]);
});

test("a failed draft does not hold back what came of an attempt without an answer", () => {
  const model = new FeedModel(snapshot(), at(0));
  model.send(photo);
  model.progress(1);
  model.apply([say("newSubmission", entry(1, { caption: "Koi" }))]);
  model.fail("The connection was lost.");
  assert.deepEqual(numbers(model), [1]);
  model.send(photo); // the same key again
  model.progress(1);
  assert.deepEqual(numbers(model), []);
  model.acknowledge(entry(1, { caption: "Koi" }), at(1));
  assert.deepEqual(numbers(model), [1]);
});

test("an acknowledged entry outlives an older snapshot, not a newer one", () => {
  const model = new FeedModel(snapshot(), at(4));
  model.acknowledge(entry(1), at(6));
  model.replace(snapshot(), at(5));
  assert.deepEqual(numbers(model), [1]);
  model.replace(snapshot(), at(6));
  assert.deepEqual(numbers(model), []);
});

test("an acknowledgement that is late does not bring back a hidden entry", () => {
  const model = new FeedModel(snapshot(), at(0));
  model.send(photo);
  model.apply([say("newSubmission", entry(1))]);
  model.apply([say("submissionRemoved", { id: "id1", category: "best" })]);
  model.acknowledge(entry(1), at(1));
  assert.deepEqual(numbers(model), []);
});

test("a failed draft keeps what it was", () => {
  const model = new FeedModel(snapshot(), at(0));
  model.send({ ...photo, caption: "  Koi " });
  model.progress(0.62);
  model.fail("No connection.");
  assert.deepEqual(model.draft, { ...photo, state: "failed", share: 0.62, fault: "No connection." });
  model.discard();
  assert.equal(model.draft, null);
});
