"use strict";

const form = document.querySelector("form");
const button = form.querySelector("button");
const inputs = [...form.querySelectorAll("input")];
const problem = document.querySelector("[role=alert]");
const status = document.querySelector("[role=status]");
let token;

function readToken() {
  token = /[#&]token=([\w-]+)/.exec(location.hash)?.[1];
  // Neither the history nor the address bar keeps it.
  history.replaceState(null, "", location.pathname);
  form.hidden = false;
  button.disabled = !token;
  status.textContent = "";
  problem.textContent = token ? "" : form.dataset.incomplete;
  if (token) (inputs[0] ?? button).focus();
  if (token && form.dataset.show) showInvitation(token).then(endOnProblem, showUnreachable);
}

function endOnProblem(refusal) {
  if (!refusal) return;
  form.hidden = true;
  showProblem(refusal);
}

function showUnreachable() {
  showProblem({ detail: form.dataset.unreachable });
}

async function send() {
  const fields = Object.fromEntries(new FormData(form));
  if (form.elements.known?.checked) return join(token, fields);
  const body = JSON.stringify({ [form.dataset.field]: token, ...fields });
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(form.dataset.endpoint, { method: "POST", headers, body });
  return response.ok ? null : response.json();
}

function showProblem({ errors = {}, detail }) {
  const [field, sentences] = Object.entries(errors)[0] ?? [null, [detail]];
  problem.textContent = sentences[0];
  const wrong = inputs.find((input) => input.name === field);
  wrong?.setAttribute("aria-invalid", "true");
  (wrong ?? inputs.find((input) => input.required && !input.value) ?? button).focus();
}

function showDone() {
  form.hidden = true;
  status.textContent = form.elements.known?.checked ? form.dataset.joined : form.dataset.done;
  status.focus();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  problem.textContent = "";
  for (const input of inputs) input.removeAttribute("aria-invalid");
  const refusal = await send().catch(() => ({ detail: form.dataset.unreachable }));
  button.disabled = false;
  if (refusal) showProblem(refusal);
  else showDone();
});
// Another link that is opened in the same window changes the fragment alone.
window.addEventListener("hashchange", () => location.hash && readToken());
readToken();
