// Keeps the composer above a phone's keyboard, in browsers whose layout does not know of it.

const viewport = window.visualViewport;

export function wireViewport() {
  viewport?.addEventListener("resize", () => {
    if (viewport.scale > 1) return; // the reader has zoomed in; no keyboard came
    document.body.style.setProperty("--height", `${viewport.height}px`);
    window.scrollTo(0, 0);
  });
}
