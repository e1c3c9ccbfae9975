// Starts the list or card of a registry with what the server has put into the page.
"use strict";

{
  const list = registrySettings.list;
  const isList = Boolean(document.querySelector('[data-sa-hook="select-all"], .registry-tools'));
  if (isList) {
    initListPage({
      actionUrl: list.actionUrl, rowActionUrl: list.rowActionUrl, rowsTotal: list.rowsTotal,
      searchHighlight: false, searchAutoSubmit: false,
    });
    if (list.fields.length) initFilterBuilder({ fields: list.fields, initialFilter: list.filter });
    if (list.importUrl) initImportModal(list.importUrl);
    document.querySelector('[data-registry="columns"]').addEventListener("click", applyColumnVisibility);
  } else if (list?.rowActionUrl) {
    const manager = new ActionManager(
      "", list.rowActionUrl, (query) => query.append("pk", list.pk),
      (_name, _element, text) => successAlert(text), (_name, _element, error) => dangerAlert(error),
    );
    manager.initActionModal();
  }
}
