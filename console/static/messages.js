// Tabs of a message's card, views of a content, and fields whose value no address carries.
"use strict";

for (const tabs of document.querySelectorAll("[data-tabs]")) {
  const panel = document.getElementById(tabs.dataset.tabs);
  tabs.addEventListener("click", async (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    for (const one of tabs.querySelectorAll("a")) {
      one.classList.toggle("active", one === link);
      one.toggleAttribute("aria-current", one === link);
    }
    panel.classList.add("is-stale");
    try {
      const answer = await fetch(link.href, { headers: { "X-Part": "1" } });
      if (answer.status === 401) { location.reload(); return; }
      panel.innerHTML = await answer.text();
    } catch {
      panel.textContent = "Сервер не отвечает. Нажмите на вкладку ещё раз.";
    }
    panel.classList.remove("is-stale");
  });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-view]");
  if (!button) return;
  const views = button.closest("[data-views]");
  for (const one of views.querySelectorAll("[data-view]")) {
    one.classList.toggle("active", one === button);
    one.setAttribute("aria-pressed", String(one === button));
  }
  for (const one of views.querySelectorAll("[data-shown]")) one.hidden = one.dataset.shown !== button.dataset.view;
});

// What was typed is kept in this tab only, so that the one who typed it sees it beside the result.
const filters = document.querySelector("[data-filters]");
if (filters) {
  for (const field of filters.querySelectorAll("[data-secret]")) {
    const hash = field.dataset.secret;
    const pending = sessionStorage.getItem(`pending ${field.name}`);
    if (hash && pending) sessionStorage.setItem(hash, pending);
    sessionStorage.removeItem(`pending ${field.name}`);
    if (hash && sessionStorage.getItem(hash)) field.value = sessionStorage.getItem(hash);
  }
  filters.addEventListener("submit", () => {
    for (const field of filters.querySelectorAll("[data-secret]")) {
      if (field.value) sessionStorage.setItem(`pending ${field.name}`, field.value);
    }
  });
}
