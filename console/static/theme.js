// Before anything is drawn: light or dark, as the person chose, or as the system says.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const wanted = root.dataset.theme || "auto";
    root.dataset.bsTheme = wanted === "auto" ? (system.matches ? "dark" : "light") : wanted;
  };
  system.addEventListener("change", apply);
  apply();
})();
