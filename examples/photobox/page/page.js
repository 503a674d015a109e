// @ts-check

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Sends photos one after the other; each has a line until it is on the page. */
let queue = Promise.resolve();
function send(/** @type {Iterable<File>} */ files) {
  for (const file of files) {
    const li = document.createElement("li");
    const text = document.createElement("span");
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `${file.name}, sent`);
    text.textContent = `${file.name}: waiting`;
    li.append(text, bar);
    $("sending").append(li);
    queue = queue.then(() => upload(file, text, bar)).then(
      () => { li.remove(); refresh(); },
      (err) => { failed(li, text, bar, file, err); },
    );
  }
}

/** @type {(file: File, text: HTMLElement, bar: HTMLProgressElement) => Promise<void>} */
function upload(file, text, bar) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much is sent
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = total ? loaded / total : 0;
      text.textContent = loaded < total ? `${file.name}: ${Math.round(100 * bar.value)} %` : `${file.name}: being checked`;
    };
    request.onload = () => request.status === 201 ? resolve() : reject(new Error(request.responseText.trim()));
    request.onerror = () => reject(new Error("The server does not answer."));
    request.open("POST", "/upload");
    request.send(file);
  });
}

/** @type {(li: HTMLElement, text: HTMLElement, bar: HTMLElement, file: File, err: Error) => void} */
function failed(li, text, bar, file, err) {
  li.className = "failed";
  text.textContent = `${file.name}: ${err.message}`;
  bar.remove();
  const again = document.createElement("button");
  again.textContent = "Try again";
  again.addEventListener("click", () => { li.remove(); send([file]); });
  const away = document.createElement("button");
  away.textContent = "Dismiss";
  away.addEventListener("click", () => li.remove());
  li.append(again, away);
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
$("switch").addEventListener("click", async () => {
  await fetch("/cloud", { method: "POST", body: new URLSearchParams({ off: String(!off) }) });
  refresh();
});

/** @typedef {{id: string, srcset: string, width: number, height: number, place: string}} Photo */

/** Each photo keeps its element, so that nothing flickers. @type {Map<string, HTMLElement>} */
const shown = new Map();

function element(/** @type {Photo} */ p) {
  const li = document.createElement("li");
  const img = document.createElement("img");
  Object.assign(img, { srcset: p.srcset, src: `/photos/${p.id}`, sizes: "(max-width: 40rem) 50vw, 16rem", width: p.width, height: p.height, alt: "A photo", loading: "lazy" });
  const where = document.createElement("p");
  const remove = document.createElement("button");
  remove.textContent = "Delete";
  remove.addEventListener("click", async () => { await fetch(`/photos/${p.id}`, { method: "DELETE" }); refresh(); });
  li.append(img, where, remove);
  return li;
}

async function refresh() {
  /** @type {{photos: Photo[], sync: any, off: boolean, own: boolean}} */
  let state;
  try {
    state = await (await fetch("/state")).json();
  } catch {
    say("The server does not answer.", "bad");
    return;
  }
  off = state.off;
  $("switch").hidden = state.own;
  $("switch").textContent = off ? "Switch the cloud on" : "Switch the cloud off";
  const { pending, parked, breaker, lastError } = state.sync;
  const waiting = pending === 1 ? "1 change waits" : `${pending} changes wait`;
  if (parked) say(`The cloud refuses ${parked}: ${lastError}`, "bad");
  else if (!pending) say("Everything is in the cloud.", "good");
  else if (breaker !== "closed" || lastError) say(`The cloud does not work. ${waiting} for it; uploads do not.`, "bad");
  else say(`On the way to the cloud: ${waiting}.`, "");

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
