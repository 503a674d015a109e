// The page of the feed: the wall in tabs, live, and the entry form.

import { follow } from "./connection.js";
import { EntryForm } from "./enter.js";
import { FeedModel } from "./feed-model.js";
import { $, announce, calm, drawTabs, listenToTabs, pageData, put } from "./page.js";
import { viewPhotos } from "./viewer.js";
import { Wall } from "./wall.js";
import { ago, newEntries } from "./words.js";

const step = 24; // cards that are drawn at a time

const { epoch, seq, view } = pageData();
const model = new FeedModel(view, { epoch, offset: seq });
const wall = new Wall($("wall"));
const pill = $("pill");

let category = "";
let shown = step; // cards at most
/** @type {Set<string>} new entries that wait, so that they do not move what the visitor looks at */
const waiting = new Set();

const atTop = () => scrollY < 80; // CSS pixels

const form = new EntryForm(model, {
  sent(to) {
    select(to);
    scrollTo({ top: 0, behavior: calm() ? "auto" : "smooth" });
    draw(true);
  },
  changed: () => draw(),
  saved(id) {
    wall.acknowledged(id);
    waiting.delete(id);
    draw();
  },
});

/** @param {string} id */
function select(id) {
  const known = model.categories.some((c) => c.id === id);
  const next = known ? id : (model.categories[0]?.id ?? "");
  if (next === category) return;
  category = next;
  shown = step;
  waiting.clear();
  wall.element.setAttribute("aria-labelledby", `tab-${category}`);
  draw();
  document.getElementById(`tab-${category}`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** @param {boolean} [moving] new cards slide in */
function draw(moving = false) {
  drawTabs($("tabs"), model.categories.map((c) => ({ ...c, count: model.count(c.id) })), category);
  const all = model.entries(category).filter((entry) => !waiting.has(entry.id));
  const draft = model.draft?.category === category ? model.draft : null;
  wall.show(all.slice(0, shown), draft, moving);
  $("empty").hidden = all.length > 0 || draft !== null || waiting.size > 0;
  put(pill, newEntries(waiting.size));
  pill.hidden = waiting.size === 0;
}

/** Lets the entries that wait onto the wall. */
function arrive() {
  if (!waiting.size) return;
  shown += waiting.size;
  waiting.clear();
  draw(true);
}

follow("feed", { epoch, seq }, {
  message(messages) {
    const top = atTop();
    const { added, removed, categories } = model.apply(messages);
    for (const id of removed) waiting.delete(id);
    const here = added.filter((entry) => entry.category === category);
    if (!top) for (const entry of here) waiting.add(entry.id);
    if (categories) {
      form.drawCategories();
      select(category); // it may be gone
    }
    draw(top);
    if (here.length) announce(newEntries(here.length));
  },
  snapshot(data, at) {
    waiting.clear();
    model.replace(data, at);
    form.drawCategories();
    select(category);
    draw();
  },
  live: () => form.connected(),
});

listenToTabs($("tabs"), (id) => {
  select(id);
  history.replaceState(null, "", `#${id}`);
});
addEventListener("hashchange", () => select(location.hash.slice(1)));
pill.addEventListener("click", () => {
  scrollTo({ top: 0, behavior: calm() ? "auto" : "smooth" });
  arrive();
  $("main").focus({ preventScroll: true });
});
addEventListener("scroll", () => { if (atTop()) arrive(); }, { passive: true });

wall.element.addEventListener("click", (e) => {
  const button = /** @type {HTMLElement} */ (e.target).closest("[data-do]");
  switch (/** @type {HTMLElement|null} */ (button)?.dataset.do) {
    case "retry": return form.retry();
    case "edit": return form.open();
    case "cancel": return form.cancel();
  }
});
viewPhotos(wall.element, (card) => ({
  caption: card.querySelector(".caption")?.textContent ?? "",
  line: [card.querySelector(".number"), card.querySelector(".artist")].map((e) => e?.textContent).join(" · "),
}));

new IntersectionObserver((seen) => {
  if (!seen.some((s) => s.isIntersecting) || shown >= model.count(category)) return;
  shown += step;
  draw();
}, { rootMargin: "1200px" }).observe($("more"));

setInterval(() => {
  for (const time of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("time[data-at]"))) {
    put(time, ago(Number(time.dataset.at), Date.now()));
  }
}, 30_000);

select(location.hash.slice(1));
