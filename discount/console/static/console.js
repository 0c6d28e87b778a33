// What the pages do beyond links and forms. All of it may be missing: every action is a form.
"use strict";
(() => {
  const EVERY = 5000, SAID_EVERY = 30000;
  const parts = () => document.querySelectorAll("[data-live]");
  const button = document.getElementById("pause");
  const said = document.getElementById("said");
  // The ETags of what parts show, and of answers that are not shown yet.
  const marks = new WeakMap(), received = new WeakMap();
  let paused = false, saidAt = Date.now();

  // Live parts are asked for again while somebody can see them.
  const poll = () => {
    if (document.hidden || paused) return;
    for (const part of parts()) {
      // What somebody has chosen or is filling in stays as it is.
      if (!part.querySelector(":checked, input:focus")) part.dispatchEvent(new CustomEvent("poll"));
    }
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
    else if (headers.get("ETag")) received.set(part, headers.get("ETag"));
  });
  document.addEventListener("htmx:error", (event) => event.target.classList?.add("stale"));
  document.addEventListener("htmx:after:swap", () => {
    for (const part of parts()) if (received.has(part)) marks.set(part, received.get(part));
    const text = document.querySelector("[data-said]")?.dataset.said;
    if (!said || !text || said.textContent === text || Date.now() - saidAt < SAID_EVERY) return;
    said.textContent = text;
    saidAt = Date.now();
  });

  // A file is imported in pieces, so that its progress can be shown. Without scripts it goes in one piece.
  const importer = document.querySelector("form[data-import]");
  // A piece with its form fits into a body of 64 kB, which the server takes at once.
  const LONGEST = 50000;
  const importPiece = async (text, name, from) => {
    const body = new FormData(importer);
    body.set("before", String(from));
    body.set("file", new File([text], name));
    const answer = await fetch(location.href, { method: "POST", body });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return { ok: answer.ok, page };
  };
  importer?.addEventListener("submit", async (event) => {
    const file = importer.elements.file.files[0];
    // JSON and CSV have a beginning that every piece would need.
    if (!file || !/\.txt$/i.test(file.name) || importer.dataset.sent) return;
    event.preventDefault();
    const lines = (await file.text()).split(/\r?\n/);
    const progress = document.getElementById("import-progress");
    const bar = document.getElementById("import-bar");
    progress.hidden = false;
    bar.max = lines.length;
    const sums = { added: 0, repeated: 0, bad: 0 };
    let said = document.getElementById("import-said");
    for (let from = 0, to = 0; from < lines.length; from = to) {
      for (let bytes = 0; to < lines.length && (to === from || bytes < LONGEST); to++) {
        bytes += 4 * Math.min(lines[to].length, 300) + 1;
      }
      const piece = lines.slice(from, to).map((line) => line.slice(0, 300)).join("\n");
      const { ok, page } = await importPiece(piece, file.name, from);
      if (!ok) {
        said = page.getElementById("problems") ?? said;
        progress.before(document.adoptNode(said));
        break;
      }
      for (const name of Object.keys(sums)) {
        sums[name] += Number(page.querySelector(`[data-figure=${name}]`).dataset.count);
        document.getElementById(`import-${name}`).textContent = String(sums[name]);
      }
      const table = document.getElementById("import-lines");
      for (const row of page.querySelectorAll("[data-lines] tr")) {
        table.hidden = false;
        table.querySelector("tbody").append(document.adoptNode(row));
      }
      bar.value = to;
    }
    said.focus();
    delete importer.dataset.sent;
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
