// The page of the winners: waits, then shows them as they are announced.

import { follow } from "./connection.js";
import { FeedModel } from "./feed-model.js";
import { $, announce, copy, keep, pageData, put, showPhoto } from "./page.js";
import { viewPhotos } from "./viewer.js";
import { ordinal } from "./words.js";

const { epoch, seq, view } = pageData();
const model = new FeedModel(view, { epoch, offset: seq });

/** @param {boolean} [reveal] what is new comes in slowly and is said aloud */
function draw(reveal = false) {
  const news = /** @type {string[]} */ ([]);
  keep($("sections"), model.categories, (c) => c.id, () => copy("section-template"), (section, c) => {
    const winners = model.winners[c.id] ?? [];
    section.dataset.category = c.id;
    section.hidden = winners.length === 0;
    put(section.querySelector(".kicker"), c.name);
    const fresh = keep(section.querySelector(".places"), winners, (w) => w.id, () => copy("winner-template"), (card, w, i) => {
      const img = card.querySelector("img");
      const link = card.querySelector(".photo");
      link.href = w.imageUrl;
      link.setAttribute("aria-label", `See the photo of ${w.caption}`);
      showPhoto(img, w.imageUrl);
      put(card.querySelector(".place"), ordinal(i + 1));
      put(card.querySelector(".caption"), w.caption);
    });
    if (!reveal) return;
    for (const card of fresh) {
      card.classList.add("reveal");
      news.push(`${card.querySelector(".place")?.textContent}: ${card.querySelector(".caption")?.textContent}`);
    }
    if (fresh.length) news.unshift(`Winners of ${c.name}.`);
  });
  $("waiting").hidden = model.winnersAvailable;
  if (news.length) announce(news.join(" "));
}

follow("feed", { epoch, seq }, {
  message(messages) {
    const { categories, winners } = model.apply(messages);
    if (categories || winners) draw(winners);
  },
  snapshot(data, at) {
    model.replace(data, at);
    draw();
  },
});

viewPhotos($("sections"), (card) => ({
  caption: card.querySelector(".caption")?.textContent ?? "",
  line: card.querySelector(".place")?.textContent ?? "",
}));
draw();
