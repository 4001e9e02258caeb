// Small conveniences; every page works without them. No inline code: the policy of the pages refuses it.
"use strict";

// Copy: `<button data-copy="ID">` copies the text of #ID and answers in place.
function prepareCopy(button) {
  const source = document.getElementById(button.dataset.copy);
  const answer = button.querySelector("[aria-live]");
  if (!source || !answer || !navigator.clipboard) return;
  const words = answer.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.dataset.value || source.textContent.trim());
      answer.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      answer.textContent = "Selected: copy it with your keyboard";
    }
    setTimeout(() => { answer.textContent = words; }, 2500);
  });
}

// Live parts: `<div id="x" data-refresh="5">` asks its page again every 5 seconds until it comes back without the mark.
function prepareRefresh(part) {
  const seconds = Number(part.dataset.refresh) || 5;
  setTimeout(async () => {
    let fresh = null;
    try {
      const answer = await fetch(location.href, { headers: { "X-Background": "1" }, redirect: "error" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      fresh = page.getElementById(part.id);
    } catch { /* the network is away: try again */ }
    if (fresh && !part.contains(document.activeElement)) {
      part.replaceWith(fresh);
      if (fresh.dataset.refresh) prepareRefresh(fresh);
      fresh.querySelectorAll("[data-copy]").forEach(prepareCopy);
    } else {
      prepareRefresh(part);
    }
  }, seconds * 1000);
}

// Forms that must be whole: `<form data-complete>` holds [data-needs-complete] back and says in [data-missing] what lacks.
function prepareCompleteness(form) {
  const press = form.querySelector("[data-needs-complete]");
  const place = form.querySelector("[data-missing]");
  const fields = [...form.querySelectorAll("[data-name]")];
  const expected = (field) => (field.dataset.expect || "").trim().toLowerCase();
  const isFilled = (field) =>
    field.type === "checkbox" ? field.checked
      : expected(field) ? field.value.trim().toLowerCase() === expected(field) : field.value.trim() !== "";
  const listing = (words) => (words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : words[0]);
  function show() {
    const missing = fields.filter((field) => !isFilled(field));
    const boxes = missing.filter((field) => field.type === "checkbox").map((field) => field.dataset.name);
    const texts = missing.filter((field) => field.type !== "checkbox").map((field) => field.dataset.name);
    const parts = [];
    if (boxes.length) parts.push(`tick ${listing(boxes)}`);
    if (texts.length) parts.push(`type ${listing(texts)}`);
    press.disabled = missing.length > 0;
    if (place) place.textContent = parts.length ? `To continue: ${parts.join(", then ")}.` : "";
    form.querySelectorAll("[data-ticked]").forEach((count) => {
      const all = fields.filter((field) => field.type === "checkbox");
      count.textContent = `${all.filter((field) => field.checked).length} of ${all.length} ticked`;
    });
  }
  if (!press) return;
  form.addEventListener("input", show);
  form.addEventListener("change", show);
  show();
}

// The current tab of a strip that scrolls is in view.
function showCurrentTab(strip) {
  const current = strip.querySelector("[aria-current]");
  if (current && strip.scrollWidth > strip.clientWidth) strip.scrollLeft = current.offsetLeft - strip.clientWidth / 3;
}

// A press counts once: the second submit of the same form within a moment is dropped.
function prepareOncePress(form) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
    setTimeout(() => { delete form.dataset.sent; }, 3000);
  });
}

document.querySelectorAll("[data-copy]").forEach(prepareCopy);
document.querySelectorAll("[data-refresh][id]").forEach(prepareRefresh);
document.querySelectorAll("form[data-complete]").forEach(prepareCompleteness);
document.querySelectorAll(".tabs ul, .segmented ul").forEach(showCurrentTab);
document.querySelectorAll('form[method="post"]').forEach(prepareOncePress);
const errors = document.getElementById("form-errors");
if (errors) errors.focus();
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = document.querySelector("details.switcher[open], details.user-menu[open], details.bar[open]");
  if (open) { open.open = false; open.querySelector("summary").focus(); }
});
