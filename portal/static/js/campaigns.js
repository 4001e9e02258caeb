// The form of a campaign counts its recipients while one chooses. Without script the button counts them.
"use strict";

function prepareCount(form) {
  const place = document.getElementById("recipient-count");
  const counting = new Set(["by", "q", "show", "people"]);
  let timer = 0;
  let asked = 0;
  async function count() {
    const mine = ++asked;
    try {
      const answer = await fetch(form.dataset.count, { method: "POST", body: new FormData(form), redirect: "error" });
      if (answer.ok && mine === asked) place.innerHTML = await answer.text();
    } catch { /* the network is away: the button still counts */ }
  }
  form.addEventListener("input", (event) => {
    if (!counting.has(event.target.name)) return;
    clearTimeout(timer);
    timer = setTimeout(count, 400);
  });
}

document.querySelectorAll("form[data-count]").forEach(prepareCount);
