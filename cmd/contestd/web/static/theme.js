// Runs before the page is painted, so that the chosen theme does not flash in.
(() => {
  try {
    if (localStorage.getItem("theme") === "light") document.documentElement.dataset.theme = "light";
  } catch {
    // Storage may be forbidden: then it is dark.
  }
})();
