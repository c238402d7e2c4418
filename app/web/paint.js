// When to paint what changes with every token.

/** Paint with the next frame, then rest for twice as long as that took: a long answer leaves its reader time.
 * @param {() => void} paint */
export function throttled(paint) {
  let isWanted = false;
  let isAtWork = false;
  const work = async () => {
    isAtWork = true;
    while (isWanted) {
      await new Promise(requestAnimationFrame);
      isWanted = false;
      const start = performance.now();
      paint();
      await elapsed(0); // the browser's part of it
      await elapsed(2 * (performance.now() - start));
    }
    isAtWork = false;
  };
  return () => {
    isWanted = true;
    if (!isAtWork) work();
  };
}

/** @param {number} milliseconds */
const elapsed = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
