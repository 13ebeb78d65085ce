"use strict";

// Shows the progress of a bulk operation every second, and its report when it has ended.
(() => {
  const bar = document.getElementById("progress");
  const text = document.getElementById("progress-text");

  async function show() {
    try {
      const response = await fetch(bar.dataset.url, { headers: { Accept: "application/json" } });
      if (response.redirected || (response.status >= 400 && response.status < 500)) return; // no longer for this person
      if (response.ok) {
        const progress = await response.json();
        if (!progress.is_open) {
          location.reload();
          return;
        }
        bar.value = progress.done;
        text.textContent = `${progress.done} / ${progress.total}`;
      }
    } catch {
      // The server is away for a moment, or busy: the next second asks again.
    }
    setTimeout(show, 1000);
  }

  setTimeout(show, 1000);
})();
