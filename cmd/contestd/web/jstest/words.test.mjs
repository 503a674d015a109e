import assert from "node:assert/strict";
import test from "node:test";

import { ago, clock, connection, newEntries, ordinal, photoFault, saving } from "../static/words.js";

test("the connection is always in words", () => {
  const seen = new Date(2026, 10, 25, 21, 4).getTime();
  const base = { status: "live", online: true, seen, before: true, missed: false };
  const now = seen + 60_000;
  const say = (more) => connection({ ...base, ...more }, now);
  assert.deepEqual(say({}), { kind: "live", text: "Live", action: "" });
  assert.deepEqual(say({ status: "waiting", retryAt: now + 3200 }), { kind: "waiting", text: "Reconnecting in 4 s", action: "try now" });
  assert.equal(say({ status: "waiting", retryAt: now - 50 }).text, "Reconnecting in 1 s");
  assert.equal(say({ status: "waiting" }).text, "Reconnecting…", "a page that nobody looks at waits without end");
  assert.equal(say({ status: "refused" }).action, "load again");
  assert.equal(say({ status: "connecting" }).text, "Reconnecting…");
  assert.equal(say({ status: "connecting", before: false }).text, "Connecting…");
  assert.deepEqual(say({ status: "waiting", online: false }), { kind: "offline", text: "Offline, showing 21:04", action: "try now" });
  assert.equal(say({ online: false }).text, "Live", "a live connection knows better than the browser");
  assert.equal(say({ missed: true }).action, "load again");
});

test("time, places and counts", () => {
  assert.equal(ago(0, 59_000), "just now");
  assert.equal(ago(0, 4 * 60_000), "4 min ago");
  assert.equal(ago(0, 90 * 60_000), "1 h ago");
  assert.equal(ago(0, 49 * 3_600_000), "2 days ago");
  assert.equal(ago(5000, 0), "just now");
  assert.deepEqual([1, 2, 3, 4, 11, 12, 13, 21, 112].map(ordinal), ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"]);
  assert.equal(newEntries(1), "1 new entry");
  assert.equal(newEntries(3), "3 new entries");
  assert.equal(saving(0.629), "Saving… 62 %");
  assert.equal(saving(1), "Saving… 99 %");
  assert.equal(clock(new Date(2026, 0, 1, 9, 5).getTime()), "09:05");
});

test("a photo that the server would refuse is refused here first", () => {
  assert.equal(photoFault({ type: "image/jpeg", size: 10 << 20 }), "");
  assert.match(photoFault({ type: "image/heic", size: 5 }), /JPEG, PNG or WebP/);
  assert.match(photoFault({ type: "image/png", size: (10 << 20) + 1 }), /11 MB/);
});
