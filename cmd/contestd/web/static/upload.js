// Sends a form with its progress, which fetch cannot tell of.

const patience = 6 * 60_000; // milliseconds; the server itself gives up after five minutes

/**
 * @typedef {object} Answer
 * @property {number} status 0 when there was no answer: what became of the request is unknown
 * @property {any} body what the server says, {} when it is not JSON
 * @property {number} retryAfter seconds, 0 when the server names none
 */

/**
 * @param {string} url
 * @param {FormData} form
 * @param {string} key makes a repeat safe: the server takes in one entry for one key
 * @param {(share: number) => void} progress 0 to 1
 * @returns {{answer: Promise<Answer>, cancel: () => void}}
 */
export function upload(url, form, key, progress) {
  const request = new XMLHttpRequest();
  /** @type {Promise<Answer>} */
  const answer = new Promise((resolve) => {
    const nothing = () => resolve({ status: 0, body: {}, retryAfter: 0 });
    request.upload.addEventListener("progress", (e) => {
      if (e.lengthComputable && e.total > 0) progress(e.loaded / e.total);
    });
    request.upload.addEventListener("load", () => progress(1));
    request.addEventListener("load", () => resolve({
      status: request.status,
      body: parse(request.responseText),
      retryAfter: Number(request.getResponseHeader("Retry-After")) || 0,
    }));
    request.addEventListener("error", nothing);
    request.addEventListener("timeout", nothing);
    request.addEventListener("abort", nothing);
  });
  request.open("POST", url);
  request.timeout = patience;
  request.setRequestHeader("Idempotency-Key", key);
  request.setRequestHeader("Accept", "application/json");
  request.send(form);
  return { answer, cancel: () => request.abort() };
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {}; // a proxy's own error page
  }
}

/** A new Idempotency-Key. crypto.randomUUID is missing on a plain http LAN. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}
