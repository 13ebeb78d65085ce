"use strict";

// Names the choices that select2 draws in place of a field by the field's label, which it does not do itself.
function nameChoices(root) {
  for (const drawn of root.querySelectorAll(".select2-selection__rendered")) {
    const field = drawn.closest(".select2-container").previousElementSibling;
    if (field?.labels?.length) drawn.setAttribute("aria-label", field.labels[0].textContent.trim());
  }
}

addEventListener("load", () => nameChoices(document));
// A row that was added to a form.
document.addEventListener("formset:added", (event) => setTimeout(() => nameChoices(event.target)));
