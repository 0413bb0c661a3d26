// SPDX-License-Identifier: Apache-2.0
// Small comforts: copy buttons, `/` for the search, filters that apply themselves. Every page works without them.
"use strict";

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(button.parentElement.querySelector("code"));
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "")) return;
  const field = document.querySelector("input[type=search]");
  if (field) { event.preventDefault(); field.focus(); }
});

const view = document.getElementById("view");
if (view) {
  document.documentElement.classList.add("applies-itself");
  for (const select of document.querySelectorAll("select[form=view]")) select.addEventListener("change", () => view.requestSubmit());
  for (const input of view.querySelectorAll("input")) {
    input.addEventListener("change", () => {
      // "All of them" and single values exclude each other within one filter.
      if (input.type === "checkbox" && input.checked) {
        for (const other of view.querySelectorAll("input[type=checkbox]")) {
          if (other.name === input.name && other !== input && (other.value === "all") !== (input.value === "all")) other.checked = false;
        }
      }
      if (matchMedia("(min-width: 60rem)").matches) view.requestSubmit();
    });
  }
}
