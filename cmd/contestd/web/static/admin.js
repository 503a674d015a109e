// The organiser's board: live entries with names and phones, hiding, winners,
// categories. Whatever is done can be undone from the line at the bottom.

import { Refused, post } from "./api.js";
import { CategoryEditor } from "./categories.js";
import { follow } from "./connection.js";
import { $, announce, calm, copy, drawTabs, keep, listenToTabs, pageData, put, showPhoto } from "./page.js";
import { StaffModel, place } from "./staff-model.js";
import { viewPhotos } from "./viewer.js";
import { ago, newEntries, ordinal } from "./words.js";

/** @typedef {import("./staff-model.js").Entry} Entry */

const step = 40; // rows that are drawn at a time
const settle = 4000; // milliseconds after a touch in which no row moves
const undoable = 10_000; // milliseconds that the undo is offered

const { epoch, seq, view } = pageData();
const model = new StaffModel(view);
/** @type {Map<string, string[]>} winners as tapped, until the server has them */
const picked = new Map();

let category = "";
let shown = step;
let touched = 0;
/** @type {Set<string>} new entries that wait: nothing moves under the finger */
const waiting = new Set();

/** @param {string} id */
const winnersOf = (id) => picked.get(id) ?? model.winners[id] ?? [];

/** @param {string} id */
function select(id) {
  const next = (model.category(id) ?? model.open[0] ?? model.categories[0])?.id ?? "";
  if (next !== category) {
    category = next;
    shown = step;
    waiting.clear();
  }
  draw();
}

function draw() {
  const counts = model.counts;
  put($("count-entries"), String(counts.entries));
  put($("count-hidden"), String(counts.hidden));
  put($("count-winners"), String(counts.winners));
  put($("count-places"), String(counts.places));
  drawTabs($("tabs"), model.categories.map((c) => {
    const entries = model.entries(c.id).length;
    return { id: c.id, name: c.name, count: entries, note: c.archived ? `${entries}, archived` : undefined };
  }), category);
  $("board").setAttribute("aria-labelledby", `tab-${category}`);
  drawPodium();
  drawRows();
  const pill = $("pill");
  put(pill, newEntries(waiting.size));
  pill.hidden = waiting.size === 0;
}

function drawPodium() {
  const of = model.category(category);
  const places = of && !of.archived ? of.winners : 0;
  const winners = winnersOf(category);
  const slots = Array.from({ length: places }, (_, i) => ({ id: String(i), entry: model.entry(winners[i] ?? "") }));
  $("podium-section").hidden = places === 0;
  keep($("podium"), slots, (slot) => slot.id, () => copy("slot-template"), (element, { entry }, i) => {
    put(element.querySelector(".slot-place"), ordinal(i + 1));
    const img = element.querySelector("img");
    img.hidden = !entry;
    if (entry) showPhoto(img, entry.imageUrl, entry.width);
    put(element.querySelector(".slot-words"), entry ? `№ ${entry.number} ${entry.caption}` : "Nobody yet");
    element.classList.toggle("taken", Boolean(entry));
  });
}

function drawRows() {
  const entries = model.entries(category).filter((e) => !waiting.has(e.id));
  const winners = winnersOf(category);
  const of = model.category(category);
  const places = of && !of.archived ? of.winners : 0;
  $("no-entries").hidden = entries.length > 0 || waiting.size > 0;
  keep($("rows"), entries.slice(0, shown), (e) => e.id, () => copy("row-template"), (row, e) => {
    drawEntry(row, e);
    drawPlaces(row, e, places, winners);
  });
}

/**
 * @param {HTMLElement} row
 * @param {Entry} e
 */
function drawEntry(row, e) {
  const part = (/** @type {string} */ selector) => /** @type {any} */ (row.querySelector(selector));
  showPhoto(part("img"), e.imageUrl, e.width);
  part(".photo").href = e.imageUrl;
  part(".photo").setAttribute("aria-label", `See the photo of № ${e.number}`);
  put(part(".entry-number"), `№ ${e.number}`);
  part("time").dataset.at = String(e.createdAt);
  put(part("time"), ago(e.createdAt, Date.now()));
  put(part(".caption"), e.caption);
  put(part(".person-name"), e.name);
  const phone = part(".person-phone");
  put(phone, e.phone);
  phone.href = `tel:${e.phone.replace(/[^\d+]/g, "")}`;
  row.classList.toggle("hidden-entry", e.hidden);
  part(".flag").hidden = !e.hidden;
  part(".entry-buttons").setAttribute("aria-label", `№ ${e.number}`);
  const hide = part(".hide");
  put(hide, e.hidden ? "Show" : "Hide");
  hide.dataset.do = e.hidden ? "unhide" : "hide";
}

/**
 * @param {HTMLElement} row
 * @param {Entry} e
 * @param {number} places
 * @param {string[]} winners
 */
function drawPlaces(row, e, places, winners) {
  const has = winners.indexOf(e.id);
  row.classList.toggle("winner-row", has >= 0);
  const list = Array.from({ length: places }, (_, i) => String(i));
  const box = /** @type {HTMLElement} */ (row.querySelector(".places-buttons"));
  keep(box, list, (i) => i, () => document.createElement("button"), (button, _, i) => {
    button.type = "button";
    button.className = "ghost place-button";
    button.dataset.place = String(i + 1);
    put(button, ordinal(i + 1));
    button.setAttribute("aria-pressed", String(has === i));
    // No place is free in front of a winner; a hidden entry cannot win.
    button.disabled = e.hidden || (has !== i && i > winners.length - (has >= 0 ? 1 : 0));
  });
}

// What is being saved, one thing after the other in the order of the taps.
let queue = Promise.resolve();

/**
 * @param {() => Promise<any>} action
 * @returns {Promise<boolean>} whether it was saved
 */
function save(action) {
  const result = queue.then(async () => {
    say("Saving…", false);
    try {
      await action();
      say("Saved", false);
      return true;
    } catch (err) {
      if (err instanceof Refused && err.status === 401) showLoggedOut();
      say(err instanceof Refused ? err.message : "Something went wrong in this page. Load it again.", true);
      if (!(err instanceof Refused)) throw err;
      return false;
    }
  });
  queue = result.then(() => undefined, () => undefined);
  return result;
}

/**
 * @param {string} text
 * @param {boolean} bad
 */
function say(text, bad) {
  const saved = $("saved");
  put(saved, text);
  saved.classList.toggle("bad", bad);
}

/** @type {number|undefined} */
let toastTimer;
let undo = () => {};

/**
 * @param {string} text
 * @param {() => void} back
 */
function offerUndo(text, back) {
  clearTimeout(toastTimer);
  put($("toast-text"), text);
  $("toast").hidden = false;
  undo = back;
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, undoable);
}

$("toast-undo").addEventListener("click", () => {
  clearTimeout(toastTimer);
  $("toast").hidden = true;
  undo();
});

/**
 * @param {string} of category
 * @param {string[]} ids
 * @returns {Promise<boolean>}
 */
async function saveWinners(of, ids) {
  picked.set(of, ids);
  draw();
  const ok = await save(() => post("/api/save-winners", { winners: { [of]: ids } }));
  if (picked.get(of) === ids) {
    // The stream tells the same; until it does, this is what holds.
    if (ok) model.winners = { ...model.winners, [of]: ids };
    picked.delete(of);
    draw();
  }
  return ok;
}

/**
 * @param {Entry} e
 * @param {number} at place, from 0
 */
async function pick(e, at) {
  const before = winnersOf(e.category);
  const after = place(before, e.id, at);
  if (!(await saveWinners(e.category, after))) return;
  const has = after.indexOf(e.id);
  offerUndo(has >= 0 ? `№ ${e.number} is ${ordinal(has + 1)}.` : `№ ${e.number} has no place any more.`,
    () => saveWinners(e.category, before));
}

/** @param {Entry} e */
async function hide(e) {
  const before = winnersOf(e.category);
  if (!(await save(() => post("/api/hide", { id: e.id })))) return;
  offerUndo(`№ ${e.number} is hidden from every page.`, async () => {
    const ok = await save(() => post("/api/unhide", { id: e.id }));
    if (ok && before.includes(e.id)) await saveWinners(e.category, before);
  });
}

/** @param {Entry} e */
async function unhide(e) {
  if (!(await save(() => post("/api/unhide", { id: e.id })))) return;
  offerUndo(`№ ${e.number} is shown again.`, () => save(() => post("/api/hide", { id: e.id, reason: e.hiddenReason })));
}

$("rows").addEventListener("click", (/** @type {Event} */ event) => {
  const button = /** @type {HTMLElement|null} */ (/** @type {HTMLElement} */ (event.target).closest("button"));
  const row = /** @type {HTMLElement|null} */ (button?.closest(".entry"));
  const e = model.entry(row?.dataset.id ?? "");
  if (!button || !e) return;
  if (button.dataset.place) pick(e, Number(button.dataset.place) - 1);
  else if (button.dataset.do === "hide") hide(e);
  else if (button.dataset.do === "unhide") unhide(e);
});

const editor = new CategoryEditor(model, async (list, sentence) => {
  const before = model.open.map(({ id, name }) => ({ id, name }));
  await post("/api/categories", { categories: list });
  say("Saved", false);
  offerUndo(sentence, () => save(() => post("/api/categories", { categories: before })));
});
$("categories-open").addEventListener("click", () => editor.open());

$("logout").addEventListener("click", async () => {
  if (await save(() => post("/api/logout"))) location.replace("/admin");
});

function showLoggedOut() {
  $("logged-out").hidden = false;
  announce("You are logged out.");
}

function arrive() {
  if (!waiting.size || scrollY >= 80 || Date.now() - touched < settle) return;
  waiting.clear();
  draw();
}

follow("staff", { epoch, seq }, {
  message(messages) {
    const still = scrollY >= 80 || Date.now() - touched < settle;
    for (const { event, data } of messages) {
      if (still && event === "entryAdded" && data.category === category) waiting.add(data.id);
    }
    model.apply(messages);
    select(category); // the category may be gone
  },
  snapshot(data) {
    waiting.clear();
    model.replace(data);
    select(category);
  },
  live: () => { $("logged-out").hidden = true; },
  denied: showLoggedOut,
});

for (const event of ["pointerdown", "keydown"]) addEventListener(event, () => { touched = Date.now(); }, { passive: true });
addEventListener("scroll", arrive, { passive: true });
$("pill").addEventListener("click", () => {
  waiting.clear();
  draw();
  $("entries-title").scrollIntoView({ behavior: calm() ? "auto" : "smooth" });
});
listenToTabs($("tabs"), select);
viewPhotos($("rows"), (row) => {
  const e = model.entry(row.dataset.id ?? "");
  return { caption: e?.caption ?? "", line: e ? `№ ${e.number} · ${e.name} · ${e.phone}` : "" };
});
new IntersectionObserver((seen) => {
  if (!seen.some((s) => s.isIntersecting) || shown >= model.entries(category).length) return;
  shown += step;
  drawRows();
}, { rootMargin: "1200px" }).observe($("more"));
setInterval(() => {
  arrive();
  for (const time of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("time[data-at]"))) {
    put(time, ago(Number(time.dataset.at), Date.now()));
  }
}, 5000);

// Begin where there is something to decide.
select(model.open.find((c) => model.entries(c.id).length)?.id ?? "");
