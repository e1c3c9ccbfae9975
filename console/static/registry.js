// What the scripts of starlette-admin expect of their page: its icons, its classes, the secret of the session.
"use strict";

const registrySettings = JSON.parse(document.getElementById("registry-settings").textContent);
const sessionSecret = () => document.querySelector('input[name="csrf"]')?.value || "";

window.StarletteAdmin = window.StarletteAdmin || {};
StarletteAdmin.icons = registrySettings.icons;
StarletteAdmin.classes = registrySettings.classes;
StarletteAdmin.getIcon = (name, otherwise = name) => StarletteAdmin.icons[name] ?? otherwise;
StarletteAdmin.getClass = (name, otherwise = name) => StarletteAdmin.classes[name] ?? otherwise;

// starlette-admin takes the secret from a cookie of its own; ours is bound to the session and stands in the page.
window.Cookies = { get: (name) => (name === "starlette_admin_csrftoken" ? sessionSecret() : undefined), set: () => {} };
jQuery.ajaxSetup({ beforeSend: (request) => request.setRequestHeader("X-CSRFToken", sessionSecret()) });
