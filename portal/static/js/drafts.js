// Mail forms keep their text as a draft while it is written. Without this file "Save draft" does the same by hand.
"use strict";

// `<p data-draft="PURPOSE" data-draft-url="…">` inside a form: the place where it says when the text was kept.
function prepareDraft(line) {
  const form = line.closest("form");
  const WAIT = 3000;
  const MOST_AT_THE_END = 60000; // bytes that a browser still sends for a page that is gone
  let timer = 0;
  let isChanged = false;
  let isSent = false;
  let running = null;

  function content() {
    const fields = new FormData(form);
    for (const [name, value] of [...fields]) if (value instanceof File) fields.delete(name);
    fields.set("purpose", line.dataset.draft);
    return fields;
  }

  async function keep(isLeaving) {
    clearTimeout(timer);
    if (!isChanged || isSent) return;
    const body = content();
    const size = [...body].reduce((sum, [name, value]) => sum + name.length + value.length * 3 + 150, 0);
    isChanged = false;
    running = new AbortController();
    try {
      const answer = await fetch(line.dataset.draftUrl, {
        method: "POST", body, headers: { "X-Background": "1" }, redirect: "manual",
        keepalive: isLeaving && size < MOST_AT_THE_END, signal: running.signal,
      });
      if (isSent) return;
      if (answer.status === 204) {
        const at = answer.headers.get("X-Kept-At");
        line.textContent = at ? `Draft kept ${at}` : "";
      } else if (answer.type === "opaqueredirect" || answer.status === 400) {
        line.textContent = "You are signed out, so nothing more is kept. Copy your text before you leave this page.";
      } else {
        again();
      }
    } catch {
      if (!isSent) again(); // the network is away
    }
  }

  function again() {
    isChanged = true;
    line.textContent = "The draft could not be kept just now. It is tried again.";
    timer = setTimeout(keep, WAIT * 5);
  }

  function note(event) {
    if (event.target.type === "file") return;
    isChanged = true;
    clearTimeout(timer);
    timer = setTimeout(keep, WAIT);
  }

  form.addEventListener("input", note);
  form.addEventListener("change", note);
  form.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    isSent = true; // what is sent must not come back as a draft
    if (running) running.abort();
  });
  addEventListener("pagehide", () => keep(true));
  addEventListener("pageshow", (event) => { if (event.persisted) isSent = false; });
}

document.querySelectorAll("[data-draft]").forEach(prepareDraft);
