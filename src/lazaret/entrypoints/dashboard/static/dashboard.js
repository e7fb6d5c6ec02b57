"use strict";
// Pages are complete without this. It keeps them fresh, remembers light or dark, and knows a few keys.

const root = document.documentElement;
const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
if (stored) root.dataset.theme = stored;
const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* it lasts as long as the page */ }
});

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector("input[type=search]");
  if (event.key === "/" && search) { event.preventDefault(); search.focus(); }
});

// Somebody who reads, types or has something open is not disturbed: only parts that differ are replaced, and none of
// those that hold the focus or a form with something typed in.
function isInUse(part) {
  if (part.contains(document.activeElement)) return true;
  return [...part.querySelectorAll("input, textarea")].some((field) => field.value !== field.defaultValue);
}

function replace(part, other) {
  if (part.innerHTML === other.innerHTML || isInUse(part)) return;
  const open = [...part.querySelectorAll("details")].map((one) => one.open);
  const tail = part.hasAttribute("data-tail") && part.scrollHeight - part.scrollTop - part.clientHeight < 40;
  const top = part.scrollTop;
  part.innerHTML = other.innerHTML;
  [...part.querySelectorAll("details")].forEach((one, index) => { one.open = open[index] ?? one.open; });
  part.scrollTop = tail ? part.scrollHeight : top;
}

// What changes while the page is being fetched may not be in the answer: then it is fetched once more.
let busy = false;
let stale = false;
async function refresh() {
  stale = true;
  if (busy || document.hidden) return;
  busy = true;
  try {
    while (stale && !document.hidden) {
      stale = false;
      await fetchAgain();
    }
  } catch { /* the state line says that the connection is gone */ } finally { busy = false; }
}

async function fetchAgain() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.redirected) { location.reload(); return; }
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-fresh]")) {
    const other = page.getElementById(part.id);
    if (other) replace(part, other);
  }
}

if (document.body.hasAttribute("data-live")) {
  const state = document.getElementById("live");
  const show = (on) => { state.className = `state ${on ? "on" : "off"}`; state.textContent = on ? state.dataset.on : state.dataset.off; };
  const source = new EventSource("/live");
  source.addEventListener("open", () => { show(true); refresh(); });
  source.addEventListener("error", () => show(false));
  source.addEventListener("changed", refresh);
  document.addEventListener("visibilitychange", refresh);
  const tail = document.querySelector("[data-tail]");
  if (tail) tail.scrollTop = tail.scrollHeight;
}
