// The login of the organiser.

import { Refused, post } from "./api.js";
import { $, showFaults } from "./page.js";

const form = $("login");
const button = $("login-send");

form.addEventListener("submit", async (/** @type {Event} */ e) => {
  e.preventDefault();
  const password = $("password").value;
  if (!password) {
    showFaults(form, [{ field: "password", detail: "Type the password." }]);
    return;
  }
  button.disabled = true;
  button.textContent = "Logging in…";
  try {
    await post("/api/login", { password });
    location.replace("/admin");
  } catch (err) {
    button.disabled = false;
    button.textContent = "Log in";
    const detail = err instanceof Refused && err.status !== 0 ? err.message : "No connection. Try again.";
    showFaults(form, [{ field: "password", detail }]);
    $("password").select();
  }
});
