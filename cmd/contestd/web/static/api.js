// Commands of the organiser. A refusal is an error whose message is a sentence
// for people.

export class Refused extends Error {
  /**
   * @param {string} message
   * @param {number} status 0 when there was no answer
   * @param {{field: string, detail: string}[]} faults
   */
  constructor(message, status, faults) {
    super(message);
    this.status = status;
    this.faults = faults;
  }
}

/**
 * @param {string} path
 * @param {any} [body]
 * @returns {Promise<any>} what the server answers
 */
export async function post(path, body = {}) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Refused("No connection: this was not saved. Try again.", 0, []);
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const detail = answer.detail || answer.error || "The server could not do this. Try again in a moment.";
  throw new Refused(detail, response.status, Array.isArray(answer.errors) ? answer.errors : []);
}
