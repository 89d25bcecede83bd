// Times of the page: milliseconds since 1970, shown in the zone of this browser. The server's clock counts, not this machine's.

import { locale, words } from './words.js';

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

const formats = new Map();

function format(name, options, time) {
  const key = locale() + name;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(locale(), options));
  return formats.get(key).format(time);
}

const pad = (number, digits = 2) => String(number).padStart(digits, '0');

/** `14:03:22` */
export function clockTime(time) {
  const date = new Date(time);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** `14:03:22.480`, for single frames. */
export function exactTime(time) {
  return `${clockTime(time)}.${pad(new Date(Math.floor(time)).getMilliseconds(), 3)}`;
}

/** `14:03` */
export function shortTime(time) {
  return clockTime(time).slice(0, 5);
}

/** `Wed 25 Nov 2026` */
export function dayName(time) {
  return format('day', { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' }, time);
}

/** `25 Nov` */
export function shortDay(time) {
  return format('short', { day: 'numeric', month: 'short' }, time);
}

/** `November 2026` */
export function monthName(time) {
  return format('month', { month: 'long', year: 'numeric' }, time);
}

/** `M T W T F S S`, the week from Monday on, with the whole names. */
export function weekdays() {
  const monday = new Date(2024, 0, 1).getTime();
  return [0, 1, 2, 3, 4, 5, 6].map((day) => ({
    short: format('narrow', { weekday: locale() === 'vi-VN' ? 'narrow' : 'short' }, monday + day * DAY + HOUR * 12).slice(0, 2),
    long: format('weekday', { weekday: 'long' }, monday + day * DAY + HOUR * 12),
  }));
}

/** `25 Nov 2026, 14:03:22` */
export function dayAndTime(time) {
  return `${dayName(time)}, ${clockTime(time)}`;
}

/** `UTC+7` */
export function zoneName(time) {
  const minutes = -new Date(time).getTimezoneOffset();
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? '−' : '+'}${hours}${rest ? `:${pad(rest)}` : ''}`;
}

/** The name of the zone as the server knows it: `Asia/Ho_Chi_Minh`. */
export function zoneId() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
}

/** `2 h 03 min`, the two largest units. */
export function duration(milliseconds) {
  const seconds = milliseconds / SECOND;
  if (seconds < 10) return words('seconds', { n: seconds < 0.095 ? '0' : seconds.toFixed(1).replace(/\.0$/, '') });
  const total = Math.round(seconds);
  const [days, hours, minutes] = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60];
  if (days) return pair('days', days, 'hours', hours);
  if (hours) return pair('hours', hours, 'minutes', minutes);
  if (minutes) return pair('minutes', minutes, 'seconds', total % 60);
  return words('seconds', { n: total });
}

function pair(large, count, small, rest) {
  const first = words(large, { n: count });
  return rest ? `${first} ${words(small, { n: rest })}` : first;
}

/** RFC 3339 in UTC with milliseconds, as the interface takes it. */
export function toText(time) {
  return new Date(Math.round(time)).toISOString();
}

/** Milliseconds of an RFC 3339 text, with its microseconds as a fraction; NaN when it is none. */
export function fromText(text) {
  const whole = Date.parse(text);
  const micros = /\.\d{3}(\d{1,3})/.exec(text ?? '');
  return micros ? whole + Number(micros[1].padEnd(3, '0')) / 1000 : whole;
}

/** The first instant of the day of `time`, `days` later. */
export function startOfDay(time, days = 0) {
  const date = new Date(time);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + days).getTime();
}

/** The value of an `<input type=datetime-local>`. */
export function toInput(time) {
  const date = new Date(time);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}T${clockTime(time)}`;
}

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30]
  .map((n) => n * SECOND)
  .concat(
    [1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
    [1, 2, 3, 6, 12].map((n) => n * HOUR),
    [1, 2, 7, 14, 28].map((n) => n * DAY),
  );

/** The smallest step of an axis whose marks lie at least `room` milliseconds apart. */
export function axisStep(room) {
  return STEPS.find((step) => step >= room) ?? STEPS[STEPS.length - 1];
}

/** The marks of an axis from `start` to `end`, on round local times. */
export function axisMarks(start, end, step) {
  const marks = [];
  if (step >= DAY) {
    const days = Math.round(step / DAY);
    // Counted from a fixed Monday, so that marks stay where they are while the axis moves.
    const monday = new Date(2024, 0, 1).getTime();
    let day = startOfDay(start);
    const offset = Math.round((day - monday) / DAY) % days;
    for (day = startOfDay(day, -offset); day <= end; day = startOfDay(day, days)) if (day >= start) marks.push(day);
    return marks;
  }
  for (let day = startOfDay(start); day <= end; day = startOfDay(day, 1)) {
    const next = Math.min(startOfDay(day, 1), end + 1);
    const first = Math.max(0, Math.ceil((start - day) / step));
    for (let mark = day + first * step; mark < next; mark += step) marks.push(mark);
  }
  return marks;
}
