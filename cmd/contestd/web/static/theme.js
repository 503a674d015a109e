// Runs before the page is painted, so that the chosen theme does not flash in.
(() => {
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden: the system's theme is shown.
  }
})();
