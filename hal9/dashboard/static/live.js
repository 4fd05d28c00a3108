// Keeps a page fresh: when the server says that something has changed, the part inside <main> is fetched anew.
// Without it every page can still be read and every button works.
"use strict";
const main = document.querySelector("main[data-live]");
const sign = document.getElementById("live");

function say(text) {
  sign.hidden = false;
  if (sign.textContent !== text) sign.textContent = text;
}

// What a reader has opened, typed or focused stays as it is.
function busy() {
  const at = document.activeElement;
  if (at && main.contains(at) && at.matches("input, textarea, select")) return true;
  return [...main.querySelectorAll("textarea, input:not([type=hidden]):not([type=radio])")].some((one) => one.value);
}

function opened() {
  return [...main.querySelectorAll("details")].map((one) => one.open);
}

async function refresh() {
  if (busy()) return;
  const answer = await fetch(location.href, { headers: { "X-Part": "main" }, redirect: "error" });
  if (!answer.ok || busy()) return;
  const open = opened();
  const focused = document.activeElement && main.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  main.innerHTML = await answer.text();
  main.querySelectorAll("details").forEach((one, at) => { if (at < open.length) one.open = open[at]; });
  if (focused) main.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

if (main && "EventSource" in window) {
  const source = new EventSource("/ui/changes");
  let late = false;
  source.addEventListener("open", () => { say("live"); if (late) refresh().catch(() => {}); late = false; });
  source.addEventListener("error", () => { late = true; say("not connected; trying again"); });
  source.addEventListener("changed", () => refresh().catch(() => {}));
  addEventListener("pagehide", () => source.close());
}
