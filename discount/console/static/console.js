// What the pages do beyond links and forms. All of it may be missing: every action is a form.
"use strict";
(() => {
  const EVERY = 5000, SAID_EVERY = 30000;
  const parts = () => document.querySelectorAll("[data-live]");
  const button = document.getElementById("pause");
  const said = document.getElementById("said");
  const marks = new WeakMap();
  let paused = false, saidAt = Date.now();

  // Live parts are asked for again while somebody can see them.
  const poll = () => {
    if (document.hidden || paused) return;
    for (const part of parts()) part.dispatchEvent(new CustomEvent("poll"));
  };
  if (parts().length) setInterval(poll, EVERY);
  document.addEventListener("visibilitychange", poll);

  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      paused = !paused;
      button.setAttribute("aria-pressed", String(paused));
      poll();
    });
  }

  document.addEventListener("htmx:config:request", (event) => {
    const mark = marks.get(event.target);
    if (mark) event.detail.ctx.request.headers["If-None-Match"] = mark;
  });
  document.addEventListener("htmx:before:response", (event) => {
    const { status, headers } = event.detail.ctx.response;
    const part = event.target;
    if (!part.matches("[data-live]")) return;
    part.classList.toggle("stale", status >= 400);
    if (status === 401) location.reload();
    if (status >= 400) event.preventDefault();
    else if (headers.get("ETag")) marks.set(part, headers.get("ETag"));
  });
  document.addEventListener("htmx:error", (event) => event.target.classList?.add("stale"));
  document.addEventListener("htmx:after:swap", () => {
    const text = document.querySelector("[data-said]")?.dataset.said;
    if (!said || !text || said.textContent === text || Date.now() - saidAt < SAID_EVERY) return;
    said.textContent = text;
    saidAt = Date.now();
  });

  // After a form, the message is what the reader hears first.
  const first = document.getElementById("problems") || document.getElementById("done");
  if (first) first.focus();

  // A second click on the button of a form does not send it again.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });
})();
