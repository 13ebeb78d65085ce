"use strict";

// Shows the progress of a bulk operation every second, and its report when it has ended.
(() => {
  const bar = document.getElementById("progress");
  const text = document.getElementById("progress-text");

  async function show() {
    try {
      const response = await fetch(bar.dataset.url, { headers: { Accept: "application/json" } });
      if (response.redirected || response.status === 403 || response.status === 404) return; // nothing to see any more
      const progress = await response.json();
      if (!progress.is_open) {
        location.reload();
        return;
      }
      bar.value = progress.done;
      text.textContent = `${progress.done} / ${progress.total}`;
    } catch {
      // The server is away or busy for a moment, and says so in other words than JSON: the next second asks again.
    }
    setTimeout(show, 1000);
  }

  setTimeout(show, 1000);
})();
