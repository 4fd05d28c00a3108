// Makes a picture larger and smaller in place, and lets it be dragged. Without this script the links do the same
// by loading the page at another size, and the frame scrolls.
"use strict";
const LEAST = 0.25;
const MOST = 8;

for (const frame of document.querySelectorAll(".zoom")) {
  const picture = frame.querySelector("svg");
  const [, , wide, high] = picture.getAttribute("viewBox").split(" ").map(Number);
  let scale = Number(picture.getAttribute("width")) / wide;

  // Keeps the point at (x, y) of the frame where it is.
  function to(wanted, x = frame.clientWidth / 2, y = frame.clientHeight / 2) {
    const next = Math.min(Math.max(wanted, LEAST), MOST);
    const left = (frame.scrollLeft + x) * next / scale - x;
    const top = (frame.scrollTop + y) * next / scale - y;
    scale = next;
    picture.setAttribute("width", Math.round(wide * scale));
    picture.setAttribute("height", Math.round(high * scale));
    frame.scrollTo(left, top);
  }

  const ways = { Larger: () => to(scale * 1.5), Smaller: () => to(scale / 1.5), "Own size": () => to(1) };
  for (const link of document.querySelectorAll("[data-zoom]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      ways[link.dataset.zoom]();
    });
  }
  frame.addEventListener("keydown", (event) => {
    const way = { "+": "Larger", "=": "Larger", "-": "Smaller", 0: "Own size" }[event.key];
    if (!way || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    ways[way]();
  });
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // without Ctrl the wheel scrolls; a pinch comes as a wheel with Ctrl
    event.preventDefault();
    const box = frame.getBoundingClientRect();
    to(scale * Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  let from = null;
  frame.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button) return; // fingers scroll by themselves
    from = { x: event.clientX + frame.scrollLeft, y: event.clientY + frame.scrollTop };
    frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointermove", (event) => {
    if (from) frame.scrollTo(from.x - event.clientX, from.y - event.clientY);
  });
  for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => { from = null; });
}
