"use strict";

// Names for those who hear the page, where the theme and select2 give none.
function nameFields(root) {
  // A field in a table is named by its column.
  for (const cell of root.querySelectorAll("td[data-label]")) {
    for (const field of cell.querySelectorAll("input:not([type=hidden]), select")) {
      if (!field.labels.length) field.setAttribute("aria-label", cell.dataset.label);
    }
  }
  // What select2 draws in place of a field is named as the field is.
  for (const drawn of root.querySelectorAll(".select2-selection__rendered")) {
    const field = drawn.closest(".select2-container").previousElementSibling;
    const name = field?.getAttribute("aria-label") ?? field?.labels?.[0]?.textContent.trim();
    if (name) drawn.setAttribute("aria-label", name);
  }
}

addEventListener("load", () => nameFields(document));
// A row was added to a table, and its fields are drawn after this event.
document.addEventListener("formset:added", (event) => setTimeout(() => nameFields(event.target)));
