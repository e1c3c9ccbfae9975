// Starts the list or card of a registry with what the server has put into the page.
"use strict";

{
  const spoken = StarletteAdmin.alertHandler;
  const lost = "Не получилось: обновите страницу и повторите";
  StarletteAdmin.alertHandler = (kind, text, ms) => spoken(kind, text === "Something went wrong!" ? lost : text, ms);
  const list = registrySettings.list;
  const isList = Boolean(document.querySelector('[data-sa-hook="select-all"], .registry-tools'));
  if (isList) {
    initListPage({
      actionUrl: list.actionUrl, rowActionUrl: list.rowActionUrl, rowsTotal: list.rowsTotal,
      searchHighlight: false, searchAutoSubmit: false,
    });
    if (list.fields.length) initFilterBuilder({ fields: list.fields, initialFilter: list.filter });
    if (list.importUrl) initImportModal(list.importUrl);
    jQuery(() => document.activeElement?.blur()); // list.js puts the cursor into the first search of the page: ours is another
    document.querySelector('[data-registry="columns"]').addEventListener("click", applyColumnVisibility);
    jQuery('[data-sa-hook="modal-action"]').on("show.bs.modal", () => {
      const question = document.querySelector('[data-sa-hook="action-confirmation"]');
      const count = document.querySelector('[data-sa-hook="actions-selected-counter"]')?.textContent || "";
      question.textContent = question.textContent.replace("{count}", count);
    });
  } else if (list?.rowActionUrl) {
    const manager = new ActionManager(
      "", list.rowActionUrl, (query) => query.append("pk", list.pk),
      (_name, _element, text) => successAlert(text), (_name, _element, error) => dangerAlert(error),
    );
    manager.initActionModal();
  }
}
