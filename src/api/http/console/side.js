// Beside the picture: the calendar of what is recorded, what is known of the camera, and the gaps in view as a list that can be
// read and pressed.

import { iconButton } from './icons.js';
import { codecName, causeWords } from './notices.js';
import { kindOf } from './recordings.js';
import { cameraUrl, getJson, serverClock } from './requests.js';
import {
  clockTime,
  DAY,
  dayAndTime,
  dayName,
  duration,
  fromText,
  HOUR,
  monthName,
  shortDay,
  startOfDay,
  weekdays,
  zoneId,
  zoneName,
} from './time.js';
import { translate, words } from './words.js';

const GAPS_MAX = 40;
const DAYS_FRESH = 60_000;

function element(tag, { text, className, label, title } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  if (label) made.dataset.label = label;
  if (title) made.title = title;
  made.append(...children);
  return made;
}

/** A month of days; those with recordings can be pressed. */
export class Calendar {
  #root;
  #pick;
  #camera = null;
  #month = startOfMonth(Date.now());
  #days = new Map();
  #asked = '';
  #shown = null;

  /** `pick(day)` is called with the first instant of the day that is pressed. */
  constructor(root, pick) {
    [this.#root, this.#pick] = [root, pick];
  }

  /** Shows the month of `time`, with that day chosen. */
  show(camera, time) {
    const day = startOfDay(time);
    if (camera === this.#camera && day === this.#shown && this.#isFresh()) return;
    const moved = this.#shown === null || startOfMonth(this.#shown) !== startOfMonth(day);
    if (camera !== this.#camera || moved) this.#month = startOfMonth(day);
    [this.#camera, this.#shown] = [camera, day];
    this.#load();
    this.draw();
  }

  #key() {
    return `${this.#camera} ${this.#month}`;
  }

  #isFresh() {
    return this.#asked === this.#key() && Date.now() - (this.askedAt ?? 0) < DAYS_FRESH;
  }

  async #load() {
    if (this.#isFresh() || !this.#camera) return;
    const key = this.#key();
    if (this.#asked !== key) this.#days = new Map();
    [this.#asked, this.askedAt] = [key, Date.now()];
    const query = { from: this.#month, to: startOfMonth(this.#month, 1), zone: zoneId() };
    const answer = await getJson(cameraUrl(this.#camera, 'days', query)).catch(() => null);
    if (!answer || this.#asked !== key) return;
    this.#days = new Map(answer.days.map((day) => [fromText(day.start), day.recorded_seconds * 1000]));
    this.draw();
  }

  #turn(months) {
    this.#month = startOfMonth(this.#month, months);
    this.#load();
    this.draw();
  }

  draw() {
    const head = element(
      'div',
      { className: 'month' },
      iconButton('left', 'previousMonth', () => this.#turn(-1)),
      element('h2', { text: monthName(this.#month) }),
      iconButton('right', 'nextMonth', () => this.#turn(1)),
    );
    const grid = element('div', { className: 'days' });
    for (const day of weekdays()) grid.append(element('span', { text: day.short, className: 'weekday', title: day.long }));
    const first = new Date(this.#month);
    const skipped = (first.getDay() + 6) % 7;
    for (let empty = 0; empty < skipped; empty += 1) grid.append(element('span'));
    for (let day = this.#month; day < startOfMonth(this.#month, 1); day = startOfDay(day, 1)) grid.append(this.#day(day));
    const zone = element('p', { className: 'zone', text: words('zone', { zone: zoneName(this.#month) }) });
    this.#root.replaceChildren(head, grid, zone);
    translate(this.#root);
  }

  #day(day) {
    const date = new Date(day);
    const recorded = this.#days.get(day) ?? 0;
    const button = element('button', { text: String(date.getDate()) });
    const name = dayName(day + 12 * HOUR);
    button.type = 'button';
    button.disabled = recorded === 0;
    button.title = recorded ? words('dayRecorded', { day: name, length: duration(recorded) }) : words('dayEmpty', { day: name });
    button.setAttribute('aria-label', button.title);
    button.setAttribute('aria-pressed', String(day === this.#shown));
    if (day === startOfDay(serverClock.now())) button.setAttribute('aria-current', 'date');
    if (recorded) button.style.setProperty('--share', String(Math.min(1, recorded / DAY)));
    button.addEventListener('click', () => this.#pick(day));
    return button;
  }
}

function startOfMonth(time, months = 0) {
  const date = new Date(time);
  return new Date(date.getFullYear(), date.getMonth() + months, 1).getTime();
}

/** What is known of the camera and of the picture. `setStream(name)` is called when another stream is chosen. */
export function drawCamera(root, { camera, player, setStream }) {
  if (!camera) return root.replaceChildren();
  const facts = [];
  const fact = (name, text) => text && facts.push(element('dt', { text: words(name) }), element('dd', { text }));
  fact('area', camera.area);
  fact('owner', camera.owner);
  const { track } = player;
  fact('picture', track && player.mode !== 'idle' ? `${track.width} × ${track.height} · ${codecName(track.codec)}` : '');
  fact('delay', player.latency === null ? '' : words('delayOf', { n: player.latency.toFixed(1) }));
  fact('since', camera.first ? dayAndTime(camera.first) : '');
  const stream = element('div', { className: 'choice' });
  stream.setAttribute('role', 'group');
  stream.setAttribute('aria-label', words('streamLabel'));
  for (const name of camera.hasSub ? ['main', 'sub'] : []) {
    const button = element('button', { text: words(`stream-${name}`) });
    button.type = 'button';
    button.setAttribute('aria-pressed', String(player.stream === name));
    button.addEventListener('click', () => setStream(name));
    stream.append(button);
  }
  const state = element('p', { className: 'state', text: words(`state-${camera.state}`) });
  state.dataset.state = camera.state;
  return root.replaceChildren(
    element('h2', { text: camera.name || camera.id }),
    state,
    ...(camera.hasSub ? [stream] : []),
    element('dl', {}, ...facts),
  );
}

/** The gaps of the camera in view, newest first. `pick(time)` is called when one is pressed. */
export function drawGaps(root, gaps, pick) {
  const list = element('ul');
  for (const gap of gaps.slice(-GAPS_MAX).reverse()) {
    const today = startOfDay(gap.start) === startOfDay(serverClock.now());
    const time = today ? clockTime(gap.start) : `${shortDay(gap.start)} ${shortTime(gap.start)}`;
    const length = gap.end - gap.start < 50 ? '' : duration(gap.end - gap.start);
    const mark = element('i');
    mark.dataset.kind = kindOf(gap.cause);
    const button = element(
      'button',
      {},
      mark,
      element('span', { className: 'when', text: time }),
      element('span', { className: 'why', text: causeWords(gap.cause) }),
      element('span', { className: 'length', text: length }),
    );
    button.type = 'button';
    button.title = causeWords(gap.cause);
    button.addEventListener('click', () => pick(gap.start));
    list.append(element('li', {}, button));
  }
  const more =
    gaps.length > GAPS_MAX ? [element('p', { className: 'zone', text: words('moreGaps', { n: gaps.length - GAPS_MAX }) })] : [];
  const none = gaps.length ? [] : [element('p', { className: 'zone', text: words('noGaps') })];
  root.replaceChildren(element('h2', { text: words('gapsInView') }), list, ...more, ...none);
}
