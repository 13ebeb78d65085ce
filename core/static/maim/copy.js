"use strict";

// A button that copies the text of the element that it names, and says so.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const element = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(element.textContent);
    } catch {
      // Without TLS a browser has no clipboard for pages: select the text, for the person to copy.
      window.getSelection().selectAllChildren(element);
      return;
    }
    button.textContent = button.dataset.copied;
  });
}
