// Painting: the axis of time and one track per camera. Pure: everything that is shown comes in with `scene`, nothing is kept.

import { kindOf } from './recordings.js';
import {
  axisMarks,
  axisStep,
  clockTime,
  DAY,
  dayName,
  exactTime,
  MINUTE,
  SECOND,
  shortDay,
  shortTime,
  startOfDay,
} from './time.js';
import { words } from './words.js';

const LABEL_ROOM = 74;
const DAY_LABEL_ROOM = 130;
const BUBBLE_ROOM = 66;
const HATCH = 5;

/** Sizes a canvas to its place on the screen, in device pixels, and gives its context in CSS pixels. */
export function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Where a time lies, in pixels. */
export function place(scene, time) {
  return ((time - scene.start) / scene.span) * scene.width;
}

function crisp(x) {
  return Math.round(x) + 0.5;
}

function line(context, x, top, bottom) {
  context.beginPath();
  context.moveTo(crisp(x), top);
  context.lineTo(crisp(x), bottom);
  context.stroke();
}

/** The axis: days above, times below, the playhead's time in a bubble. */
export function drawAxis(canvas, scene) {
  const { width, axisHeight: height, colours, start, span } = scene;
  const context = prepare(canvas, width, height);
  const font = getComputedStyle(canvas).fontFamily;
  const end = start + span;
  const step = axisStep((span / width) * LABEL_ROOM);
  context.textBaseline = 'middle';
  context.font = `11px ${font}`;
  context.strokeStyle = colours.line;
  context.fillStyle = colours.muted;
  context.lineWidth = 1;
  for (const mark of axisMarks(start - step, end, step)) {
    const x = place(scene, mark);
    line(context, x, height - 6, height);
    context.fillText(markText(mark, step), x + 4, height - 11);
  }
  if (step < DAY) drawDays(context, scene, font);
  context.beginPath();
  context.moveTo(0, height - 0.5);
  context.lineTo(width, height - 0.5);
  context.stroke();
  drawMark(context, scene, height - 4, 4);
  drawBubbles(context, scene, font);
}

function markText(mark, step) {
  if (step >= DAY) return shortDay(mark);
  if (step >= MINUTE) return shortTime(mark);
  return step >= SECOND ? clockTime(mark) : exactTime(mark).slice(0, -2);
}

/** The name of each day in view; the first one stays at the left edge. */
function drawDays(context, scene, font) {
  const { colours, start, span, width } = scene;
  context.font = `600 11px ${font}`;
  context.fillStyle = colours.text;
  const first = startOfDay(start);
  const midnights = axisMarks(start, start + span, DAY);
  for (const midnight of midnights) line(context, place(scene, midnight), 2, 16);
  const next = midnights.length ? place(scene, midnights[0]) : width;
  if (next > DAY_LABEL_ROOM) context.fillText(dayName(first + DAY / 2), 6, 10);
  for (const midnight of midnights) context.fillText(dayName(midnight + DAY / 2), place(scene, midnight) + 6, 10);
}

/** The line of now and the playhead's handle, with their times. */
function drawBubbles(context, scene, font) {
  const { colours, axisHeight: height, now, head } = scene;
  context.font = `600 11px ${font}`;
  const bubble = (x, text, colour, ink) => {
    const width = context.measureText(text).width + 13;
    const left = Math.max(1, Math.min(scene.width - width - 1, x - width / 2));
    context.fillStyle = colour;
    context.beginPath();
    context.roundRect(left, 2, width, 16, 4);
    context.fill();
    context.fillStyle = ink;
    context.textAlign = 'center';
    context.fillText(text, left + width / 2, 10.5);
    context.textAlign = 'left';
  };
  const nowX = place(scene, now);
  const headX = head === null ? -1000 : place(scene, head);
  const apart = Math.abs(nowX - headX) > BUBBLE_ROOM;
  if (nowX >= 0 && nowX <= scene.width && apart) bubble(nowX, words('now'), colours.now, '#fff');
  if (headX < -1 || headX > scene.width + 1) return;
  const colour = scene.live ? colours.now : colours.head;
  bubble(headX, scene.exact ? exactTime(head) : clockTime(head), colour, scene.live ? '#fff' : colours['on-head']);
  context.fillStyle = colour;
  context.beginPath();
  context.moveTo(headX - 5, 17);
  context.lineTo(headX + 5, 17);
  context.lineTo(headX, 23);
  context.fill();
  context.fillRect(Math.round(headX) - 0.75, 20, 1.5, height - 20);
}

function drawMark(context, scene, top, height) {
  const { from, to } = scene.mark;
  if (from === null && to === null) return;
  context.fillStyle = scene.colours.mark;
  const left = place(scene, from ?? to);
  const right = place(scene, to ?? from);
  context.fillRect(left, top, Math.max(2, right - left), height);
}

/** All tracks that are in view. */
export function drawTracks(canvas, scene) {
  const { width, height, colours, rows, rowHeight, scrollTop } = scene;
  const context = prepare(canvas, width, height);
  context.lineWidth = 1;
  const patterns = hatches(context, colours);
  const last = Math.min(rows.length, Math.ceil((scrollTop + height) / rowHeight));
  for (let row = Math.floor(scrollTop / rowHeight); row < last; row += 1) {
    drawRow(context, scene, rows[row], row * rowHeight - scrollTop, patterns);
  }
  context.strokeStyle = colours.faint;
  for (const midnight of scene.span < 40 * DAY ? axisMarks(scene.start, scene.start + scene.span, DAY) : []) {
    line(context, place(scene, midnight), 0, height);
  }
  const bottom = Math.min(height, rows.length * rowHeight - scrollTop);
  drawLines(context, scene, bottom);
}

/** Now, the pointer, the playhead: from below to above. */
function drawLines(context, scene, bottom) {
  const { colours, now, hover, head } = scene;
  const nowX = place(scene, now);
  if (nowX <= scene.width) {
    context.fillStyle = colours.faint;
    context.fillRect(Math.max(0, nowX), 0, scene.width, bottom);
  }
  context.strokeStyle = colours.now;
  context.setLineDash([3, 3]);
  line(context, nowX, 0, bottom);
  context.setLineDash([]);
  if (hover !== null) {
    context.strokeStyle = colours.muted;
    line(context, hover, 0, bottom);
  }
  if (head !== null) {
    context.fillStyle = scene.live ? colours.now : colours.head;
    context.fillRect(Math.round(place(scene, head)) - 0.75, 0, 1.5, bottom);
  }
}

function drawRow(context, scene, row, y, patterns) {
  const { colours, width, rowHeight, inset } = scene;
  if (row.selected) {
    context.fillStyle = colours.row;
    context.fillRect(0, y, width, rowHeight);
  }
  const top = y + inset.top;
  const height = rowHeight - inset.top - inset.bottom;
  const limit = Math.min(width, place(scene, scene.now));
  context.fillStyle = colours.track;
  if (limit > 0) context.fillRect(0, top, limit, height);
  const { runs, gaps } = row.spans;
  context.fillStyle = row.selected ? colours['run-selected'] : colours.run;
  for (const run of inView(runs, scene)) {
    const x = Math.max(-2, place(scene, run.start));
    context.fillRect(x, top, Math.max(1, Math.min(width + 2, place(scene, run.end)) - x), height);
  }
  for (const gap of inView(gaps, scene)) drawGap(context, scene, gap, top, height, patterns);
  for (const lock of row.spans.locked ?? []) {
    const x = place(scene, lock.start);
    context.fillStyle = colours.lock;
    context.fillRect(x, top, Math.max(2, place(scene, lock.end) - x), 3);
  }
  if (row.selected) drawMark(context, scene, top, height);
  context.fillStyle = colours.faint;
  context.fillRect(0, y + rowHeight - 1, width, 1);
}

/** A gap is hatched in the colour of its kind, so that it is told from recording without colours too; one of no length is a notch. */
function drawGap(context, scene, gap, top, height, patterns) {
  const kind = kindOf(gap.cause);
  const left = Math.max(0, place(scene, gap.start));
  const wide = Math.min(scene.width, place(scene, gap.end)) - left;
  context.fillStyle = scene.colours[`gap-${kind}`];
  if (wide < 3) {
    context.fillRect(Math.round(left) - (wide < 1 ? 0.5 : 0), top, Math.max(2, wide), height);
    return;
  }
  if (gap.cause === 'enrolled') return;
  context.fillStyle = scene.colours.panel;
  context.fillRect(left, top, wide, height);
  context.fillStyle = patterns[kind];
  context.fillRect(left, top, wide, height);
  context.fillStyle = scene.colours[`gap-${kind}`];
  context.fillRect(left, top + height - 2, wide, 2);
}

function hatches(context, colours) {
  const ratio = window.devicePixelRatio || 1;
  const pattern = (colour) => {
    const tile = document.createElement('canvas');
    tile.width = tile.height = HATCH * 2 * ratio;
    const paint = tile.getContext('2d');
    paint.scale(ratio, ratio);
    paint.strokeStyle = colour;
    paint.globalAlpha = 0.55;
    paint.lineWidth = 1.2;
    for (const shift of [-HATCH, HATCH, HATCH * 3]) {
      paint.beginPath();
      paint.moveTo(shift - HATCH * 2, HATCH * 2 + 1);
      paint.lineTo(shift + HATCH, -HATCH + 1);
      paint.stroke();
    }
    const made = context.createPattern(tile, 'repeat');
    made.setTransform(new DOMMatrix().scale(1 / ratio));
    return made;
  };
  return Object.fromEntries(['camera', 'recorder', 'planned'].map((kind) => [kind, pattern(colours[`gap-${kind}`])]));
}

/** The spans that touch the view: they are in order, so the first is found by halving. */
export function inView(spans, { start, span }) {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle].end < start) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < spans.length && spans[end].start <= start + span) end += 1;
  return spans.slice(low, end);
}
