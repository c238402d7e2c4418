// Times, numbers and titles as a reader likes them.

const DAY = 24 * 60 * 60 * 1000;
const MAX_TITLE_WORDS = 8;
const MAX_TITLE_CHARS = 60;

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });

/** @param {string} timestamp */
export const wholeTime = (timestamp) => whole.format(new Date(timestamp));

/** Return a time of day, with the date if it was not today.
 * @param {string} timestamp */
export function shortTime(timestamp) {
  const then = new Date(timestamp);
  const isToday = then.toDateString() === new Date().toDateString();
  return isToday ? clock.format(then) : `${date.format(then)}, ${clock.format(then)}`;
}

/** Return a day, or the time of day if it was today.
 * @param {string} timestamp */
export function shortDay(timestamp) {
  const then = new Date(timestamp);
  if (then.toDateString() === new Date().toDateString()) return clock.format(then);
  if (then.toDateString() === new Date(Date.now() - DAY).toDateString()) return "Yesterday";
  return date.format(then);
}

/**
 * Return what an answer cost: its tokens, and how fast they came.
 * @param {import("./api.js").Message} answer
 * @param {string} [askedAt]
 */
export function costOf({ usage, usage_estimated: isEstimated, created_at: endedAt }, askedAt) {
  const tokens = usage?.completion_tokens;
  if (typeof tokens !== "number" || tokens <= 0) return [];
  const about = isEstimated ? "about " : "";
  const seconds = askedAt ? (Date.parse(endedAt) - Date.parse(askedAt)) / 1000 : 0;
  const found = [`${about}${number.format(tokens)} ${tokens === 1 ? "token" : "tokens"}`];
  if (seconds > 0) found.push(`${about}${number.format(Math.max(1, tokens / seconds))} tokens/s`);
  return found;
}

/** Return a title made of a question's first words, as the service makes it.
 * @param {string} question */
export function titleFrom(question) {
  const words = question.split(/\s+/).filter(Boolean);
  const start = words.slice(0, MAX_TITLE_WORDS).join(" ");
  const isCut = words.length > MAX_TITLE_WORDS || [...start].length > MAX_TITLE_CHARS;
  return [...start].slice(0, MAX_TITLE_CHARS).join("") + (isCut ? "…" : "");
}
