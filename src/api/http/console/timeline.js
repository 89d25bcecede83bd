// The timelines: one row per camera under a shared axis, zoomed and moved by hand; where a second of any camera is picked.

import { listen } from './gestures.js';
import { onTheme, palette } from './palette.js';
import { serverClock } from './requests.js';
import { clockTime, DAY, dayAndTime, duration, MINUTE, SECOND } from './time.js';
import { drawAxis, drawTracks } from './tracks.js';
import { label, words } from './words.js';

const SPAN_MIN = 4 * SECOND;
const SPAN_MAX = 400 * DAY;
/** Where in the view now and a playhead that runs along are kept. */
const NOW_AT = 0.92;
const HEAD_AT = 0.85;
const GLIDE_MS = 180;

export class Timeline {
  #elements;
  #hooks;
  #recordings;
  #view = { start: serverClock.now() - 55 * MINUTE, span: 60 * MINUTE };
  #rows = [];
  #selected = null;
  #head = null;
  #live = false;
  #exact = false;
  #mark = { from: null, to: null };
  #hover = null;
  #follow = true;
  #glide = null;
  #dirty = false;
  #scrubbing = false;

  /**
   * `elements`: root, axis, tracks, names, none, span. `hooks`: `pick(camera, time)`, `scrub(time)`, `select(camera)`, `mark(from, to)`,
   * `hover(place or null)`, `moved()`.
   */
  constructor(elements, recordings, hooks) {
    this.#elements = elements;
    this.#recordings = recordings;
    this.#hooks = hooks;
    listen(elements.tracks, this.#onTracks());
    listen(elements.axis, this.#onAxis());
    elements.root.addEventListener('scroll', () => this.redraw(), { passive: true });
    new ResizeObserver(() => this.redraw()).observe(elements.root);
    onTheme(() => this.redraw());
    setInterval(() => this.redraw(), 1000);
  }

  get view() {
    return { ...this.#view };
  }

  /** The cameras that are shown, in order: `{ id, name, state }`. */
  setCameras(cameras) {
    this.#rows = cameras;
    const items = cameras.map((camera) => this.#nameItem(camera));
    this.#elements.names.replaceChildren(...items);
    document.documentElement.style.setProperty('--rows', String(Math.max(2, cameras.length)));
    this.redraw();
  }

  #nameItem(camera) {
    const item = document.createElement('li');
    const button = document.createElement('button');
    const dot = document.createElement('i');
    const name = document.createElement('span');
    button.type = 'button';
    dot.dataset.state = camera.state;
    name.textContent = camera.name || camera.id;
    button.title = `${camera.name || camera.id} · ${words(`state-${camera.state}`)}`;
    button.setAttribute('aria-label', button.title);
    button.setAttribute('aria-current', String(camera.id === this.#selected));
    button.dataset.camera = camera.id;
    button.append(dot, name);
    button.addEventListener('click', () => this.#hooks.select(camera.id));
    item.append(button);
    return item;
  }

  select(camera) {
    this.#selected = camera;
    for (const button of this.#elements.names.querySelectorAll('button')) {
      const current = button.dataset.camera === camera;
      button.setAttribute('aria-current', String(current));
      if (current) button.scrollIntoView({ block: 'nearest' });
    }
    this.redraw();
  }

  /** Where the picture is: `time` or null, live or not, to the frame or not. */
  setHead(time, { live, exact }) {
    this.#head = time;
    this.#live = live;
    this.#exact = exact;
    this.redraw();
  }

  setMark(mark) {
    this.#mark = mark;
    this.redraw();
  }

  /** Looks at `span` from `start` on; glides there unless the operator wants no motion. */
  look(start, span, { glide = true, follow = false } = {}) {
    const wanted = Math.min(SPAN_MAX, Math.max(SPAN_MIN, span));
    const target = { start: start + (span - wanted) / 2, span: wanted };
    this.#follow = follow;
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.#glide = glide && !still ? { from: { ...this.#view }, to: target, begun: performance.now() } : null;
    if (!this.#glide) this.#view = target;
    this.#hooks.moved();
    this.redraw();
  }

  /** Shows less or more time around the playhead, or around `x`. */
  zoom(factor, x = null) {
    const { start, span } = this.#glide?.to ?? this.#view;
    const headX = this.#head === null ? 0.5 : (this.#head - start) / span;
    const share = x === null ? (headX >= 0 && headX <= 1 ? headX : 0.5) : x / this.#width;
    const next = Math.min(SPAN_MAX, Math.max(SPAN_MIN, span * factor));
    this.look(start + (span - next) * share, next, { glide: x === null, follow: this.#follow && x === null });
    this.#follow = this.#isHeadInView();
  }

  /** Moves by pixels. */
  #pan(pixels) {
    this.#glide = null;
    this.#view.start -= (pixels / this.#width) * this.#view.span;
    const latest = serverClock.now() + this.#view.span * 0.5;
    this.#view.start = Math.min(this.#view.start, latest - this.#view.span * 0.5);
    this.#follow = false;
    this.#hooks.moved();
    this.redraw();
  }

  /** Goes to now, and along with it. */
  showNow() {
    const { span } = this.#view;
    this.look(serverClock.now() - span * NOW_AT, span, { follow: true });
  }

  /** Brings `time` into view, and goes along with the playhead. */
  show(time) {
    const { start, span } = this.#glide?.to ?? this.#view;
    if (time < start + span * 0.02 || time > start + span * 0.98) this.look(time - span / 2, span, { follow: true });
    this.#follow = true;
  }

  timeAt(x) {
    return this.#view.start + (x / this.#width) * this.#view.span;
  }

  get #width() {
    return Math.max(1, this.#elements.tracks.clientWidth);
  }

  #isHeadInView() {
    return this.#head !== null && this.#head >= this.#view.start && this.#head <= this.#view.start + this.#view.span;
  }

  #rowAt(y) {
    const row = Math.floor((y + this.#elements.root.scrollTop) / this.#rowHeight);
    return this.#rows[row] ?? null;
  }

  get #rowHeight() {
    return this.#elements.names.firstElementChild?.offsetHeight || 32;
  }

  #onTracks() {
    let marking = null;
    return {
      press: () => this.#hooks.hover(null),
      tap: (x, y) => {
        const row = this.#rowAt(y);
        if (row) this.#hooks.pick(row.id, this.timeAt(x));
      },
      dragStart: (x, event) => {
        marking = event.shiftKey ? this.timeAt(x) : null;
        this.#elements.tracks.dataset.dragging = marking === null ? 'pan' : 'mark';
      },
      drag: (dx, x) => {
        if (marking === null) return this.#pan(dx);
        const other = this.timeAt(x);
        return this.#hooks.mark(Math.min(marking, other), Math.max(marking, other));
      },
      dragEnd: () => delete this.#elements.tracks.dataset.dragging,
      zoom: (factor, x) => this.zoom(factor, x),
      pan: (dx) => this.#pan(dx),
      hover: (x, y, event) => this.#hovered(x, y, event),
      leave: () => this.#hovered(null),
    };
  }

  #hovered(x, y, event) {
    this.#hover = x;
    const row = x === null ? null : this.#rowAt(y);
    this.#hooks.hover(
      row ? { camera: row, time: this.timeAt(x), left: event.clientX, top: event.clientY - (y % this.#rowHeight) } : null,
    );
    this.redraw();
  }

  /** On the axis a press takes the playhead along. */
  #onAxis() {
    const scrub = (x) => this.#hooks.scrub(this.timeAt(Math.max(0, Math.min(this.#width, x))), true);
    return {
      tap: (x) => this.#hooks.scrub(this.timeAt(x), false),
      dragStart: (x) => {
        this.#scrubbing = true;
        scrub(x);
      },
      drag: (dx, x) => scrub(x),
      dragEnd: (x) => {
        this.#scrubbing = false;
        this.#hooks.scrub(this.timeAt(Math.max(0, Math.min(this.#width, x))), false);
      },
      zoom: (factor, x) => this.zoom(factor, x),
      pan: (dx) => this.#pan(dx),
    };
  }

  /** Paints before the next picture of the screen; many calls make one painting. */
  redraw() {
    if (this.#dirty) return;
    this.#dirty = true;
    requestAnimationFrame(() => {
      this.#dirty = false;
      this.#advance();
      this.#draw();
    });
  }

  /** Moves the view: along its glide, or along with now or the playhead. */
  #advance() {
    if (this.#glide) {
      const { from, to, begun } = this.#glide;
      const share = Math.min(1, (performance.now() - begun) / GLIDE_MS);
      const eased = 1 - (1 - share) ** 3;
      const span = from.span * (to.span / from.span) ** eased;
      this.#view = { span, start: from.start + (to.start - from.start) * eased };
      if (share < 1) this.redraw();
      else [this.#view, this.#glide] = [{ ...to }, null];
      return;
    }
    if (!this.#follow || this.#head === null || this.#scrubbing) return;
    const { span } = this.#view;
    if (this.#live) this.#view.start = serverClock.now() - span * NOW_AT;
    else if (this.#head > this.#view.start + span * HEAD_AT) this.#view.start = this.#head - span * HEAD_AT;
  }

  #draw() {
    const { root, axis, tracks, none, span } = this.#elements;
    const rowHeight = this.#rowHeight;
    const axisHeight = axis.offsetHeight;
    const height = Math.max(0, root.clientHeight - axisHeight);
    tracks.style.height = `${height}px`;
    const compact = getComputedStyle(root).getPropertyValue('--compact').trim() === '1';
    const scene = {
      ...this.#view,
      width: this.#width,
      height,
      axisHeight,
      rowHeight,
      scrollTop: root.scrollTop,
      inset: compact ? { top: 22, bottom: 7 } : { top: 6, bottom: 7 },
      colours: palette(),
      now: serverClock.now(),
      head: this.#head,
      live: this.#live,
      exact: this.#exact,
      mark: this.#mark,
      hover: this.#hover,
      rows: this.#rows.map((row) => ({ spans: this.#recordings.of(row.id), selected: row.id === this.#selected })),
    };
    drawAxis(axis, scene);
    drawTracks(tracks, scene);
    none.hidden = this.#rows.length > 0;
    span.textContent = duration(this.#view.span);
    this.#tellSlider(axis, scene);
    const first = Math.floor(root.scrollTop / rowHeight);
    const seen = this.#rows.slice(first, first + Math.ceil(height / rowHeight) + 1).map((row) => row.id);
    this.#recordings.want(seen, this.#view.start, this.#view.start + this.#view.span);
  }

  #tellSlider(axis, scene) {
    const share = scene.head === null ? 0 : Math.round(((scene.head - scene.start) / scene.span) * 100);
    axis.setAttribute('aria-valuenow', String(Math.max(0, Math.min(100, share))));
    const at = scene.head === null ? words('nothing') : dayAndTime(scene.head);
    if (axis.getAttribute('aria-valuetext') !== at)
      axis.setAttribute('aria-valuetext', scene.live ? `${words('live')}, ${clockTime(scene.head)}` : at);
    label(axis, 'timeSlider');
  }
}
