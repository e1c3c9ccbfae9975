// The form of a schedule: what the fields mean is asked for while they are filled in.
"use strict";

const form = document.getElementById("schedule-form");
const preview = document.getElementById("preview");
let asked = 0;
let waiting = 0;

const look = async () => {
  const mine = ++asked;
  const query = new URLSearchParams();
  for (const name of ["cron", "timezone", "calendar", "rule"]) query.set(name, form.elements[name].value);
  try {
    const answer = await fetch(`/schedules/preview?${query}`, { headers: { "X-Part": "1" } });
    if (answer.ok && mine === asked) preview.innerHTML = await answer.text();
  } catch { preview.classList.add("is-stale"); return; }
  preview.classList.remove("is-stale");
};

form.addEventListener("input", (event) => {
  if (event.target.name === "queue") {
    for (const part of form.querySelectorAll("[data-fields]")) part.hidden = part.dataset.fields !== event.target.value;
  }
  if (["cron", "timezone", "calendar", "rule"].includes(event.target.name)) {
    clearTimeout(waiting);
    waiting = setTimeout(look, 250);
  }
});

for (const button of form.querySelectorAll("[data-cron]")) {
  button.addEventListener("click", () => {
    form.elements.cron.value = button.dataset.cron;
    look();
  });
}
