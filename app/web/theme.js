// Sets the theme before anything is painted. A script of its own, and no module: modules run too late for that.

(() => {
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = "";
  try {
    chosen = localStorage.getItem("chat.theme") ?? "";
  } catch {
    // Site data is blocked: the system's theme.
  }
  const apply = () => {
    document.documentElement.dataset.theme = chosen || (prefersDark.matches ? "dark" : "light");
  };
  prefersDark.addEventListener("change", apply);
  document.addEventListener("themechange", (event) => {
    if (event instanceof CustomEvent) chosen = event.detail;
    apply();
  });
  apply();
})();
