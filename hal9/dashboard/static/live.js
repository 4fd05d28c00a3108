// Keeps a page fresh: when the server says that something has changed, the part inside <main> is fetched anew
// and only what differs is replaced. What a reader has opened, typed, chosen or focused stays as it is.
// Without this script every page can still be read and every button works.
"use strict";
const main = document.querySelector("main[data-seen]");
const sign = document.getElementById("live");

function say(text) {
  sign.hidden = false;
  if (sign.textContent !== text) sign.textContent = text;
}

function typed(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return false;
  if (node.contains(document.activeElement) && document.activeElement !== document.body) return true;
  const fields = node.matches("input, textarea, select") ? [node] : [...node.querySelectorAll("input, textarea, select")];
  return fields.some((one) => one.type !== "hidden" && (one.value !== one.defaultValue || one.checked !== one.defaultChecked));
}

// What makes two elements the same one; without a key they are matched in order.
function key(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return node.nodeName;
  return `${node.nodeName} ${node.id || node.dataset?.key || node.getAttribute("action") || node.getAttribute("href") || ""}`;
}

function sync(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.isEqualNode(fresh)) return;
  if (old.matches("input:not([type=hidden]), textarea, select")) return;
  sync(old, fresh);
  children(old, fresh);
}

function children(old, fresh) {
  const there = new Map();
  for (const one of old.childNodes) {
    const name = key(one);
    if (!there.has(name)) there.set(name, []);
    there.get(name).push(one);
  }
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const known = there.get(key(wanted))?.shift();
    if (!known) {
      old.insertBefore(wanted, at);
      continue;
    }
    // Moving a node would take the focus from it: what stands before it goes behind instead.
    while (at && at !== known && known.contains(document.activeElement)) {
      const next = at.nextSibling;
      old.appendChild(at);
      at = next;
    }
    if (at === known) at = at.nextSibling;
    else old.insertBefore(known, at);
    morph(known, wanted);
  }
  // A form that somebody is filling in outlives its reason; sending it tells what happened meanwhile.
  for (const rest of there.values()) for (const one of rest) if (!typed(one)) one.remove();
}

let busy = false;
let again = false;
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    do {
      again = false;
      const answer = await fetch(location.href, { headers: { "X-Part": "main" }, redirect: "error" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(`<main>${await answer.text()}</main>`, "text/html").querySelector("main");
      children(main, fresh);
    } while (again);
  } catch {
    // The server is away; it is asked again when the connection is back.
  } finally {
    busy = false;
  }
}

if (main && "EventSource" in window) {
  const about = new URLSearchParams({ seen: main.dataset.seen, task: main.dataset.task || "" });
  const source = new EventSource(`/ui/changes?${about}`);
  source.addEventListener("open", () => say("live"));
  source.addEventListener("error", () => say("not connected; trying again"));
  source.addEventListener("changed", refresh);
  addEventListener("pagehide", () => source.close());
}
