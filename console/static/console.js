// What the pages of the console need of a script: questions before deeds, parts that refresh, keys, copying.
"use strict";

const secret = () => document.querySelector('input[name="csrf"]')?.value || "";

// A form with data-confirm asks first. The dialog names what will happen.
document.addEventListener("submit", (event) => {
  const form = event.target;
  const button = event.submitter;
  const question = button?.dataset.confirm || form.dataset.confirm;
  if (!question || form.dataset.confirmed) return;
  event.preventDefault();
  const dialog = document.createElement("dialog");
  dialog.className = "question";
  const text = document.createElement("p");
  text.textContent = question;
  const row = document.createElement("div");
  row.className = "question-deeds";
  const no = Object.assign(document.createElement("button"), { type: "button", textContent: "Отмена", className: "btn" });
  const yes = Object.assign(document.createElement("button"), {
    type: "button", textContent: button?.textContent.trim() || "Да", className: "btn btn-primary",
  });
  no.addEventListener("click", () => dialog.close());
  yes.addEventListener("click", () => {
    dialog.close();
    form.dataset.confirmed = "1";
    form.requestSubmit(button || undefined);
    delete form.dataset.confirmed;
  });
  dialog.addEventListener("close", () => dialog.remove());
  row.append(no, yes);
  dialog.append(text, row);
  document.body.append(dialog);
  dialog.showModal();
  no.focus();
});

// <div data-part="/queues/part" data-every="5">: the part is asked for again and again while the page is seen.
for (const part of document.querySelectorAll("[data-part]")) {
  const every = Number(part.dataset.every || 5) * 1000;
  const look = async () => {
    if (!part.isConnected) return;
    if (!document.hidden && !part.contains(document.querySelector("dialog[open]")) && !part.matches(":focus-within")) {
      try {
        const answer = await fetch(part.dataset.part, { headers: { "X-Part": "1" } });
        if (answer.status === 401) { location.reload(); return; }
        if (answer.ok) {
          part.innerHTML = await answer.text();
          part.classList.remove("is-stale");
          if (part.querySelector("[data-over]")) { return; }
        } else part.classList.add("is-stale");
      } catch { part.classList.add("is-stale"); }
    }
    setTimeout(look, every);
  };
  setTimeout(look, every);
}

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(copy.dataset.copy);
    copy.classList.add("is-done");
    setTimeout(() => copy.classList.remove("is-done"), 1200);
  }
});

// <input type="checkbox" data-all="ids">: all boxes of that name; <output data-count="ids"> says how many are chosen.
document.addEventListener("change", (event) => {
  const all = event.target.dataset?.all;
  if (all) for (const box of document.querySelectorAll(`input[type=checkbox][name="${all}"]`)) box.checked = event.target.checked;
  for (const output of document.querySelectorAll("[data-count]")) {
    output.textContent = document.querySelectorAll(`input[name="${output.dataset.count}"]:checked`).length;
  }
  if (event.target.dataset?.submit !== undefined) event.target.form.requestSubmit();
});

// Keys: / finds a message; g and a letter go to a page of the menu.
const ways = { d: "/", q: "/queues", m: "/messages", k: "/quarantine", s: "/schedules", c: "/connectors" };
let going = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  if (event.key === "/") { event.preventDefault(); document.getElementById("find")?.focus(); return; }
  if (going && ways[event.key]) location.href = ways[event.key];
  going = event.key === "g";
});
