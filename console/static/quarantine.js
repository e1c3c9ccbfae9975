// Карантин: questions that name how many messages, and the editor's lines.
"use strict";

// <form data-many="120"> with <button data-ask="…">: the question says how many the chosen scope has.
const decision = document.querySelector("form[data-many]");
if (decision) {
  const ask = () => {
    const all = decision.elements.scope.value === "all";
    const many = all ? decision.dataset.many : document.querySelectorAll('input[name="ids"]:checked').length;
    for (const button of decision.querySelectorAll("[data-ask]")) {
      button.disabled = !all && !many;
      button.dataset.confirm = `${button.dataset.ask} ${all ? "все сообщения по этой причине" : "отмеченные сообщения"} (${many})?`;
    }
  };
  document.addEventListener("change", () => setTimeout(ask));
  addEventListener("pageshow", ask);
  ask();
}

// The editor says on which line one is, and goes to the line of a fault.
const editor = document.querySelector("textarea[data-place]");
if (editor) {
  const place = document.getElementById(editor.dataset.place);
  const tell = () => { place.textContent = `строка ${editor.value.slice(0, editor.selectionStart).split("\n").length}`; };
  for (const name of ["keyup", "click", "input", "select"]) editor.addEventListener(name, tell);
  document.addEventListener("click", (event) => {
    const line = Number(event.target.closest("[data-line]")?.dataset.line);
    if (!line) return;
    const lines = editor.value.split("\n");
    const begin = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    editor.focus();
    editor.setSelectionRange(begin, begin + (lines[line - 1] || "").length);
    editor.scrollTop = (line - 5) * (editor.scrollHeight / lines.length);
    tell();
  });
}
