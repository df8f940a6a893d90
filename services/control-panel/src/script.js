// What saves a few strokes and shows how far something is. Every page works without this file.
"use strict";

// Where the reader is, if the pages do not know yet: those after this one tell their times there.
(() => {
  const YEAR_SECONDS = 365 * 24 * 3600;
  if (document.documentElement.dataset.zone !== "unknown") return;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone) return;
  const tls = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `postern-zone=${encodeURIComponent(zone)}; Path=/; Max-Age=${YEAR_SECONDS}; SameSite=Lax${tls}`;
})();

// Buttons that copy: without them one click selects what they would copy.
(() => {
  const STAYS_MS = 2000;
  const buttons = document.querySelectorAll("button.copy");
  if (buttons.length === 0) return;
  // What a screen reader is told.
  const told = document.createElement("p");
  told.className = "unseen";
  told.setAttribute("role", "status");
  document.body.append(told);

  // Without TLS browsers have no clipboard for pages, but they copy what is selected.
  const put = async (code) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(code.textContent);
    getSelection().selectAllChildren(code);
    if (!document.execCommand("copy")) throw new Error("not copied");
  };

  for (const button of buttons) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await put(button.parentElement.querySelector("code"));
      } catch {
        return;
      }
      button.classList.add("done");
      told.textContent = button.dataset.done;
      setTimeout(() => {
        button.classList.remove("done");
        told.textContent = "";
      }, STAYS_MS);
    });
  }
})();

// All lines of a list are ticked, or none: without this a link brings the page with them ticked.
(() => {
  for (const link of document.querySelectorAll("a[data-tick]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      for (const box of link.closest("form").querySelectorAll("tbody input[type='checkbox']")) {
        box.checked = link.dataset.tick === "all";
      }
    });
  }
})();

// Menus of the header close by Escape, and by a press elsewhere; without this by a press on their name.
(() => {
  const menus = document.querySelectorAll(".top details");
  document.addEventListener("click", (event) => {
    for (const menu of menus) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of menus) {
      if (!menu.open) continue;
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
})();

// How far a file is: without this the browser says so in its own way.
(() => {
  for (const form of document.querySelectorAll("form.upload")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const progress = form.querySelector("progress");
      const button = form.querySelector("button");
      progress.closest("[hidden]").hidden = false;
      button.disabled = true;
      const sending = new XMLHttpRequest();
      sending.upload.addEventListener("progress", (told) => {
        if (told.lengthComputable) progress.value = told.loaded / told.total;
      });
      sending.addEventListener("load", () => {
        if (sending.status < 300) return location.assign(sending.responseURL);
        // Not taken: what the page says about it stands in the place of this one.
        const page = new DOMParser().parseFromString(sending.responseText, "text/html");
        document.querySelector("main").replaceWith(page.querySelector("main"));
      });
      sending.addEventListener("error", () => location.assign(form.dataset.broken));
      sending.open("POST", form.action);
      sending.send(new FormData(form));
    });
  }
})();
