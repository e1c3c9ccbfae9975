// Of a choice only the chosen alternative is shown. Without this script all are, and the select decides.
"use strict";
for (const choice of document.querySelectorAll("[data-choice]")) {
  const select = choice.querySelector(":scope > select");
  const show = () => {
    for (const one of choice.querySelectorAll(":scope > [data-alternative]")) one.hidden = one.dataset.alternative !== select.value;
  };
  select.addEventListener("change", show);
  show();
}
