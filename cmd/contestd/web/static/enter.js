// The entry form, and the entry on its way to the server.
//
// What was typed stays in the form until the server has acknowledged it.

import { $, announce, copy, keep, put, showFaults } from "./page.js";
import { newKey, upload } from "./upload.js";
import { photoFault, saving } from "./words.js";

/** @typedef {import("./feed-model.js").FeedModel} FeedModel */

const texts = ["caption", "name", "phone"];

const lost = "No connection. Everything is kept, and it is sent again by itself.";
const busy = "The server is busy. Everything is kept, and it is sent again by itself.";

export class EntryForm {
  /** @type {File|null} */ #photo = null;
  #preview = "";
  #key = "";
  #sent = /** @type {any[]} */ ([]); // what #key stands for
  /** @type {(() => void)|null} */ #cancel = null;
  /** @type {number|undefined} */ #timer;
  #again = false; // the failure is one that goes away by itself
  #attempts = 0;

  /**
   * @param {FeedModel} model
   * @param {object} on
   * @param {(category: string) => void} on.sent an entry is on its way
   * @param {() => void} on.changed the draft looks different
   * @param {(id: string, category: string) => void} on.saved the server has it
   */
  constructor(model, on) {
    this.model = model;
    this.on = on;
    this.dialog = $("enter");
    this.form = $("enter-form");

    for (const id of ["enter-open", "enter-first"]) $(id).addEventListener("click", () => this.open());
    $("enter-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (/** @type {Event} */ e) => {
      if (e.target === this.dialog) this.dialog.close(); // beside the sheet
    });
    this.form.addEventListener("submit", (/** @type {Event} */ e) => {
      e.preventDefault();
      this.send();
    });
    this.#listenForPhotos();
    addEventListener("online", () => this.connected());
    addEventListener("beforeunload", (e) => {
      if (this.model.draft) e.preventDefault(); // it would be lost
    });
    this.drawCategories();
    this.#draw();
  }

  open() {
    if (!this.dialog.open) {
      $("viewer").close();
      this.dialog.showModal();
    }
  }

  #listenForPhotos() {
    const input = $("photo");
    const capture = $("photo-capture");
    $("photo-choose").addEventListener("click", () => input.click());
    $("photo-camera").addEventListener("click", () => capture.click());
    $("photo-preview").addEventListener("click", () => input.click());
    for (const source of [input, capture]) {
      source.addEventListener("change", () => {
        if (source.files[0]) this.take(source.files[0]);
        source.value = ""; // so that the same photo can be chosen again
      });
    }
    $("photo-preview").addEventListener("error", () => {
      if (!this.#photo) return;
      this.#forgetPhoto();
      showFaults(this.form, [{ field: "photo", detail: "This photo cannot be read. Choose another one." }]);
    });
    addEventListener("paste", (e) => this.#takeFrom(e.clipboardData, e));
    addEventListener("drop", (e) => {
      this.#over(false);
      this.#takeFrom(e.dataTransfer, e);
    });
    addEventListener("dragover", (e) => {
      if (!e.dataTransfer?.types.includes("Files")) return;
      e.preventDefault();
      this.#over(true);
    });
    addEventListener("dragleave", (e) => {
      if (!e.relatedTarget) this.#over(false);
    });
  }

  /** @param {boolean} on */
  #over(on) {
    $("photo-drop").classList.toggle("over", on);
  }

  /**
   * @param {DataTransfer|null} from
   * @param {Event} e
   */
  #takeFrom(from, e) {
    const file = from?.files[0];
    if (!file) return;
    e.preventDefault();
    this.open();
    this.take(file);
  }

  /** @param {File} file */
  take(file) {
    if (this.model.draft?.state === "saving") return;
    const fault = photoFault(file);
    showFaults(this.form, fault ? [{ field: "photo", detail: fault }] : []);
    if (fault) return;
    this.#photo = file;
    if (this.#preview && this.#preview !== this.model.draft?.preview) URL.revokeObjectURL(this.#preview);
    this.#preview = URL.createObjectURL(file);
    this.#draw();
  }

  #forgetPhoto() {
    this.#photo = null;
    this.#preview = "";
    this.#draw();
  }

  /** Offers the present categories; a choice that is still there stays. */
  drawCategories() {
    const only = this.model.categories.length === 1;
    keep($("category-choices"), this.model.categories, (c) => c.id, () => copy("choice-template"), (choice, c) => {
      const input = choice.querySelector("input");
      input.value = c.id;
      if (only) input.checked = true;
      put(choice.querySelector("span"), c.name);
    });
  }

  #values() {
    const values = { category: this.form.querySelector("[name=category]:checked")?.value ?? "" };
    for (const name of texts) Object.assign(values, { [name]: $(name).value.trim() });
    return /** @type {Record<string, string>} */ (values);
  }

  send() {
    if (this.model.draft?.state === "saving") return;
    const values = this.#values();
    const faults = [];
    if (!this.#photo) faults.push({ field: "photo", detail: "Choose a photo." });
    if (!values.category) faults.push({ field: "category", detail: "Choose a category." });
    if (!values.caption) faults.push({ field: "caption", detail: "Say in a few words what it is." });
    if (!values.name) faults.push({ field: "name", detail: "The organiser needs a name to call." });
    if (!values.phone) faults.push({ field: "phone", detail: "The organiser needs a number to reach you." });
    this.#problem("");
    showFaults(this.form, faults);
    if (faults.length || !this.#photo) return;

    // The key stays for a repeat of the same entry and for nothing else.
    const content = [this.#photo, ...Object.values(values)];
    if (!this.#key || content.some((part, i) => part !== this.#sent[i])) {
      this.#key = newKey();
      this.#sent = content;
      this.#attempts = 0;
    }
    this.dialog.close();
    this.#start(values, this.#photo);
  }

  /** Sends a failed draft once more. */
  retry() {
    if (this.model.draft?.state === "failed") this.send();
  }

  /** The connection is back: what it held up goes out. */
  connected() {
    if (this.#again && !this.dialog.open) this.retry();
  }

  /** The visitor takes the draft back; the form keeps what it has. */
  cancel() {
    clearTimeout(this.#timer);
    this.#again = false;
    this.#cancel?.();
    this.#cancel = null;
    this.model.discard();
    this.#draw();
    this.on.changed();
  }

  /**
   * @param {Record<string, string>} values
   * @param {File} photo
   */
  async #start(values, photo) {
    clearTimeout(this.#timer);
    this.#again = false;
    const form = new FormData();
    // Texts before the photo: the server refuses a mistake before it takes the photo in.
    for (const name of ["category", ...texts]) form.append(name, values[name]);
    form.append("photo", photo);

    this.model.send({ key: this.#key, category: values.category, caption: values.caption, preview: this.#preview });
    this.#draw();
    this.on.sent(values.category);
    const sending = upload("/api/submit", form, this.#key, (share) => {
      if (this.#cancel !== sending.cancel) return;
      this.model.progress(share);
      this.#draw();
      this.on.changed();
    });
    this.#cancel = sending.cancel;
    const answer = await sending.answer;
    if (this.#cancel !== sending.cancel) return; // taken back
    this.#cancel = null;
    if (answer.status >= 200 && answer.status < 300 && answer.body.entry) this.#saved(answer.body);
    else this.#failed(answer);
  }

  /** @param {any} body */
  #saved(body) {
    const { entry, position } = body;
    this.model.acknowledge(entry, { epoch: position.epoch, offset: position.seq });
    this.#key = "";
    this.#sent = [];
    $("caption").value = "";
    for (const input of this.form.querySelectorAll("[name=category]")) input.checked = false;
    this.drawCategories();
    this.#forgetPhoto();
    announce(`Your tattoo is in. It has number ${entry.number}.`);
    this.on.saved(entry.id, entry.category);
  }

  /** @param {import("./upload.js").Answer} answer */
  #failed({ status, body, retryAfter }) {
    /** @type {{field: string, detail: string}[]} */
    const faults = Array.isArray(body.errors) ? body.errors : [];
    const detail = body.detail || body.error || "The server could not take this in. Try again in a moment.";
    this.#again = status === 0 || status === 429 || status === 502 || status === 503 || status === 504;
    const fault = status === 0 ? lost : this.#again ? busy : detail;
    this.model.fail(fault);
    announce(fault);
    this.#draw();
    this.on.changed();
    if (this.#again) {
      this.#attempts++;
      const wait = Math.max(retryAfter, Math.min(30, 2 ** this.#attempts)) * 1000;
      this.#timer = setTimeout(() => this.connected(), wait * (0.75 + Math.random() / 2));
      return;
    }
    // The server has decided against it as it is: the visitor must change something.
    if (status !== 500) this.#key = "";
    this.open();
    if (!showFaults(this.form, faults) || !faults.length) this.#problem(detail);
  }

  /** @param {string} text */
  #problem(text) {
    const error = $("enter-error");
    put(error, text);
    error.hidden = !text;
  }

  #draw() {
    const draft = this.model.draft;
    const sending = draft?.state === "saving";
    const preview = $("photo-preview");
    if (this.#preview) {
      if (preview.getAttribute("src") !== this.#preview) preview.src = this.#preview;
    } else preview.removeAttribute("src");
    preview.hidden = !this.#preview;
    put($("photo-choose-text"), this.#preview ? "Another photo" : "Choose a photo");
    $("photo-drop").classList.toggle("full", Boolean(this.#preview));
    $("enter-fields").disabled = sending;
    const button = $("enter-send");
    button.disabled = sending;
    put(button, draft && sending ? saving(draft.share) : "Enter this tattoo");
  }
}
