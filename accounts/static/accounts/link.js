"use strict";

const form = document.querySelector("form");
const button = form.querySelector("button");
let token;

function show(text) {
  document.querySelector("[role=status]").textContent = text;
}

function readToken() {
  token = /[#&]token=([\w-]+)/.exec(location.hash)?.[1];
  // Neither the history nor the address bar keeps it.
  history.replaceState(null, "", location.pathname);
  button.disabled = !token;
  show(token ? "" : form.dataset.incomplete);
}

async function send() {
  const body = JSON.stringify({ token, ...Object.fromEntries(new FormData(form)) });
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(form.dataset.endpoint, { method: "POST", headers, body });
  if (response.ok) {
    form.hidden = true;
    return form.dataset.done;
  }
  const problem = await response.json();
  return problem.errors ? Object.values(problem.errors)[0][0] : problem.detail;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  show(await send().catch(() => form.dataset.unreachable));
  button.disabled = false;
});
// Another link that is opened in the same window changes the fragment alone.
window.addEventListener("hashchange", () => location.hash && readToken());
readToken();
