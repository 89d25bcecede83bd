// What a pointer on a timeline is told: the time, whether and why not it was recorded, and the picture of that second.

import { causeWords } from './notices.js';
import { cameraUrl, serverClock } from './requests.js';
import { dayName, clockTime, duration, startOfDay } from './time.js';
import { words } from './words.js';

/** A pointer that moves on asks for no picture. */
const REST = 140;
/** Pictures of the same second are the same. */
const GRAIN = 1000;

export class Preview {
  #elements;
  #recordings;
  #timer = null;
  #address = '';
  #unsupported = new Set();

  /** `elements`: box, time, text, video. */
  constructor(elements, recordings) {
    [this.#elements, this.#recordings] = [elements, recordings];
    const { video } = elements;
    video.addEventListener('loadeddata', () => {
      video.hidden = false;
      this.#settle();
    });
    video.addEventListener('error', () => {
      video.hidden = true;
      if (video.error?.code === 4 || video.error?.code === 3) this.#unsupported.add(video.dataset.camera);
    });
  }

  /** `place`: `{ camera, time, left, top }`, or null to hide. */
  show(place) {
    const { box, time, text, video } = this.#elements;
    clearTimeout(this.#timer);
    this.place = place;
    if (!place) {
      box.hidden = true;
      video.hidden = true;
      return;
    }
    const today = startOfDay(place.time) === startOfDay(serverClock.now());
    time.textContent = today ? clockTime(place.time) : `${dayName(place.time)}, ${clockTime(place.time)}`;
    const { run, gap } = this.#near(place);
    text.textContent = this.#said(place, run, gap);
    box.hidden = false;
    this.#settle();
    const wants = run && !this.#unsupported.has(place.camera.id);
    if (!wants) video.hidden = true;
    else this.#timer = setTimeout(() => this.#load(place), REST);
  }

  #near(place) {
    const found = this.#recordings.at(place.camera.id, place.time);
    // A gap of no length is met by a pointer that comes near.
    const notch = this.#recordings
      .of(place.camera.id)
      .gaps.find((gap) => gap.end - gap.start < place.grain && Math.abs(gap.start - place.time) < place.grain);
    return notch ? { gap: notch } : found;
  }

  #said(place, run, gap) {
    if (run) return words('recorded');
    if (gap) {
      const length = gap.end - gap.start;
      return length < 50 ? causeWords(gap.cause) : words('gapOf', { cause: causeWords(gap.cause), length: duration(length) });
    }
    if (place.time > serverClock.now()) return words('future');
    const known = this.#recordings.of(place.camera.id);
    return known.from <= place.time && place.time <= known.to ? words('before') : words('notKnown');
  }

  #load({ camera, time }) {
    const { video } = this.#elements;
    const address = cameraUrl(camera.id, 'frame', { at: Math.floor(time / GRAIN) * GRAIN, format: 'mp4' });
    if (address === this.#address && !video.error) {
      video.hidden = video.readyState < 2;
      this.#settle();
      return;
    }
    this.#address = address;
    video.dataset.camera = camera.id;
    video.src = address;
  }

  /** Above the row, inside of the window. */
  #settle() {
    const { box } = this.#elements;
    if (!this.place) return;
    const { left, top } = this.place;
    const [width, height] = [box.offsetWidth, box.offsetHeight];
    box.style.left = `${Math.max(6, Math.min(window.innerWidth - width - 6, left - width / 2))}px`;
    box.style.top = `${Math.max(6, top - height - 8)}px`;
  }
}
