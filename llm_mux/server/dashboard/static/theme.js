// The chosen colours, before anything is painted. "auto" follows the system.
(() => {
  const chosen = localStorage.getItem("llm-mux.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
