"use strict";

// Shows an invitation into a tenant, and lets people with an account join.

const known = document.getElementById("known");
const code = document.getElementById("code");
let challenge;

async function post(path, body, accessToken) {
  const headers = { "Content-Type": "application/json", ...(accessToken && { Authorization: `Bearer ${accessToken}` }) };
  const response = await fetch(`/api/v1/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  return { ok: response.ok, body: response.status === 204 ? {} : await response.json() };
}

async function showInvitation(token) {
  const shown = await post("invitations/show", { token });
  if (!shown.ok) return shown.body;
  for (const place of document.querySelectorAll("[data-shown]")) {
    const value = shown.body[place.dataset.shown];
    place.textContent = place.dataset[value] ?? value;
  }
  document.querySelector("dl").hidden = false;
  return null;
}

function signIn(credentials) {
  if (!challenge) return post("auth/login", credentials);
  const method = /^\d{6}$/.test(code.value.trim()) ? "totp" : "recovery_code";
  return post("auth/mfa", { challenge, method, code: code.value });
}

function askForCode(nextChallenge) {
  challenge = nextChallenge;
  code.parentElement.hidden = !challenge;
  code.required = Boolean(challenge);
  code.value = "";
}

// Returns what was refused, or null.
async function join(token, credentials) {
  const signedIn = await signIn(credentials);
  if (signedIn.body.code === "AUTHENTICATION_REQUIRED") askForCode(null); // the challenge has ended
  if (signedIn.body.challenge) askForCode(signedIn.body.challenge);
  if (!signedIn.ok) return signedIn.body;
  askForCode(null);
  const joined = await post("invitations/accept", { token }, signedIn.body.access_token);
  await post("auth/logout", { refresh_token: signedIn.body.refresh_token }); // it was opened for this alone
  return joined.ok ? null : joined.body;
}

known.addEventListener("change", () => {
  const form = known.form;
  const password = form.elements.password;
  askForCode(null);
  document.getElementById("rule").hidden = known.checked;
  password.minLength = known.checked ? 1 : 8; // an old password may be shorter
  password.autocomplete = known.checked ? "current-password" : "new-password";
  form.querySelector("button").textContent = known.checked ? form.dataset.joinButton : form.dataset.registerButton;
});
