import assert from "node:assert/strict";
import test from "node:test";

import { StaffModel, categoryID, place } from "../static/staff-model.js";

const entry = (number, more = {}) => ({ id: `id${number}`, number, category: "best", caption: "c", name: "n", phone: "1", hidden: false, ...more });
const snapshot = (...entries) => ({
  categories: [{ id: "best", name: "Best", winners: 2, archived: false }, { id: "old", name: "Old", winners: 2, archived: true }],
  submissions: { best: entries, old: [] },
  winners: { best: [], old: [] },
});
const say = (event, data) => ({ event, data });

test("entries are newest first, each once", () => {
  const model = new StaffModel(snapshot(entry(1)));
  model.apply([say("entryAdded", entry(3)), say("entryAdded", entry(2)), say("entryAdded", entry(3))]);
  assert.deepEqual(model.entries("best").map((e) => e.number), [3, 2, 1]);
});

test("a hidden entry stays on the organiser's page and is counted", () => {
  const model = new StaffModel(snapshot(entry(2), entry(1)));
  model.apply([say("entryChanged", entry(1, { hidden: true }))]);
  assert.deepEqual(model.entries("best").map((e) => e.hidden), [false, true]);
  assert.deepEqual(model.counts, { entries: 2, hidden: 1, winners: 0, places: 2 });
});

test("winners and categories are replaced as a whole", () => {
  const model = new StaffModel(snapshot(entry(1)));
  model.apply([
    say("categoriesUpdated", { categories: [{ id: "best", name: "Finest", winners: 3, archived: false }] }),
    say("winnersUpdated", { winners: { best: ["id1"] } }),
  ]);
  assert.equal(model.category("best").name, "Finest");
  assert.deepEqual(model.archived, []);
  assert.deepEqual(model.counts, { entries: 1, hidden: 0, winners: 1, places: 3 });
});

test("a snapshot replaces everything", () => {
  const model = new StaffModel(snapshot(entry(1)));
  model.replace(snapshot(entry(7)));
  assert.deepEqual(model.entries("best").map((e) => e.number), [7]);
  assert.equal(model.entry("id1"), undefined);
});

for (const [name, winners, id, at, want] of [
  ["the first one", [], "a", 0, ["a"]],
  ["behind the first one", ["a"], "b", 1, ["a", "b"]],
  ["a place that is taken: its holder goes", ["a", "b"], "c", 0, ["c", "b"]],
  ["taken back: the runner-up moves up", ["a", "b"], "a", 0, ["b"]],
  ["one who has another place: both swap", ["a", "b"], "b", 0, ["b", "a"]],
  ["no free place is left in front", [], "a", 1, ["a"]],
  ["alone, from first to second", ["a"], "a", 1, ["a"]],
]) {
  test(`place: ${name}`, () => {
    const before = [...winners];
    assert.deepEqual(place(winners, id, at), want);
    assert.deepEqual(winners, before, "the list itself is not changed");
  });
}

for (const [name, taken, want] of [
  ["Black & Grey", [], "black-grey"],
  ["Black & Grey", ["black-grey"], "black-grey-2"],
  ["Über Schön!", [], "uber-schon"],
  ["日本", [], "category"],
  ["x".repeat(80), [], "x".repeat(36)],
]) {
  test(`categoryID: ${name}, ${taken.length} taken`, () => {
    const id = categoryID(name, taken);
    assert.equal(id, want);
    assert.match(id, /^[a-z0-9][a-z0-9-]{0,39}$/);
  });
}
