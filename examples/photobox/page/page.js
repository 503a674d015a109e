// @ts-check

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Sends photos one after the other; each has a line until it is on the page. */
let queue = Promise.resolve();
function send(/** @type {Iterable<File>} */ files) {
  for (const file of files) {
    const li = document.createElement("li");
    const text = document.createElement("span");
    const bar = document.createElement("progress");
    const cancel = new AbortController();
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `${file.name}, sent`);
    text.textContent = `${file.name}: waiting`;
    const does = document.createElement("div");
    does.append(bar, button("Cancel", () => { cancel.abort(); li.remove(); }));
    li.append(preview(file), text, does);
    $("sending").append(li);
    queue = queue.then(() => upload(file, text, bar, cancel.signal)).then(
      () => { li.remove(); refresh(); },
      (err) => { text.textContent = `${file.name}: ${err.message}`; failed(li, does, file, err.again); },
    );
  }
}

/** The photo as the browser has it, if it can show it. */
function preview(/** @type {File} */ file) {
  const img = document.createElement("img");
  const url = URL.createObjectURL(file);
  img.alt = "";
  img.onload = () => URL.revokeObjectURL(url);
  img.onerror = () => { img.remove(); URL.revokeObjectURL(url); };
  img.src = url;
  return img;
}

/** @type {(file: File, text: HTMLElement, bar: HTMLProgressElement, signal: AbortSignal) => Promise<void>} */
function upload(file, text, bar, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return resolve();
    const request = new XMLHttpRequest(); // fetch does not tell how much is sent
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = total ? loaded / total : 0;
      text.textContent = loaded < total ? `${file.name}: ${Math.round(100 * bar.value)} %` : `${file.name}: being checked`;
    };
    const fail = (/** @type {string} */ why, /** @type {boolean} */ again) => reject(Object.assign(new Error(why), { again }));
    request.onload = () => request.status === 201 ? resolve() : fail(request.responseText.trim(), request.status === 429 || request.status >= 500);
    request.onerror = () => fail("The server does not answer.", true);
    request.onabort = () => resolve();
    signal.addEventListener("abort", () => request.abort());
    request.open("POST", "/upload");
    request.send(file);
  });
}

/** @type {(li: HTMLElement, does: HTMLElement, file: File, again: boolean) => void} */
function failed(li, does, file, again) {
  li.className = "failed";
  does.replaceChildren(button("Dismiss", () => li.remove()));
  if (again) does.prepend(button("Try again", () => { li.remove(); send([file]); }));
}

function button(/** @type {string} */ word, /** @type {() => void} */ click) {
  const b = document.createElement("button");
  b.type = "button";
  b.textContent = word;
  b.addEventListener("click", click);
  return b;
}

for (const id of ["choose", "camera"]) {
  const input = /** @type {HTMLInputElement} */ ($(id));
  input.addEventListener("change", () => { send(Array.from(input.files ?? [])); input.value = ""; });
}
addEventListener("dragover", (e) => { e.preventDefault(); $("drop").classList.add("over"); });
addEventListener("dragleave", (e) => { if (!e.relatedTarget) $("drop").classList.remove("over"); });
addEventListener("drop", (e) => {
  e.preventDefault();
  $("drop").classList.remove("over");
  send(e.dataTransfer?.files ?? []);
});
addEventListener("paste", (e) => send(e.clipboardData?.files ?? []));

let off = false;
$("switch").addEventListener("click", () => ask("/cloud", { method: "POST", body: new URLSearchParams({ off: String(!off) }) }));

/** @type {(url: string, request: RequestInit) => Promise<void>} */
async function ask(url, request) {
  await fetch(url, request).catch(() => {}); // refresh says that the server does not answer
  refresh();
}

/** @typedef {{id: string, srcset: string, width: number, height: number, place: string}} Photo */

/** Each photo keeps its element, so that nothing flickers. @type {Map<string, HTMLElement>} */
const shown = new Map();

function element(/** @type {Photo} */ p) {
  const li = document.createElement("li");
  const img = document.createElement("img");
  Object.assign(img, { srcset: p.srcset, src: `/photos/${p.id}`, sizes: "(max-width: 40rem) 50vw, 16rem", width: p.width, height: p.height, alt: "A photo", loading: "lazy" });
  const where = document.createElement("p");
  li.append(img, where, button("Delete", () => ask(`/photos/${p.id}`, { method: "DELETE" })));
  return li;
}

let asked = 0, answered = 0;
async function refresh() {
  const number = ++asked;
  /** @type {{photos: Photo[], sync: any, off: boolean, own: boolean} | undefined} */
  let state;
  try {
    state = await (await fetch("/state")).json();
  } catch {}
  if (number < answered) return; // a later question had its answer before
  answered = number;
  if (!state) return say("The server does not answer.", "bad");
  off = state.off;
  $("switch").hidden = state.own;
  $("switch").textContent = off ? "Switch the cloud on" : "Switch the cloud off";
  const { pending, deletions, parked, breaker, lastError } = state.sync;
  const several = (/** @type {number} */ n, /** @type {string} */ what) => n === 1 ? `1 ${what}` : `${n} ${what}s`;
  const waiting = [several(pending - deletions, "photo"), several(deletions, "deletion")].filter((w) => !w.startsWith("0")).join(" and ") + (pending === 1 ? " waits" : " wait");
  if (parked) say(`The cloud refuses ${parked}: ${lastError}`, "bad");
  else if (!pending) say("Everything is in the cloud.", "good");
  else if (breaker !== "closed" || lastError) say(`The cloud does not work. ${waiting} for it; uploads do not.`, "bad");
  else if (pending > deletions) say(`On the way to the cloud: ${waiting}.`, "");
  else say(`Every photo is in the cloud. ${several(deletions, "deletion")} will be checked again.`, "good"); // in 10 minutes, if an answer was missing

  const ids = new Set(state.photos.map((p) => p.id));
  for (const [id, li] of shown) if (!ids.has(id)) { li.remove(); shown.delete(id); }
  state.photos.forEach((p, i) => {
    let li = shown.get(p.id);
    if (!li) shown.set(p.id, li = element(p));
    if ($("photos").children[i] !== li) $("photos").insertBefore(li, $("photos").children[i] ?? null);
    const where = /** @type {HTMLElement} */ (li.querySelector("p"));
    where.textContent = p.place ? "here and in the cloud" : "here";
    where.className = p.place ? "good" : "";
  });
  $("empty").hidden = state.photos.length > 0;
}

function say(/** @type {string} */ text, /** @type {string} */ kind) {
  $("cloud").className = kind;
  if ($("cloud").textContent !== text) $("cloud").textContent = text;
}

refresh();
setInterval(refresh, 1000);
