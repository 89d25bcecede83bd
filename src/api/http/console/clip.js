// The marked range and its download: one MP4 of exactly that time, made by the server while it is sent.

import { cameraUrl, getLength } from './requests.js';
import { clockTime, duration, SECOND } from './time.js';
import { words } from './words.js';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];
const PATIENCE = 400;

/** `12.4 MB` */
export function byteSize(bytes) {
  let [size, unit] = [bytes, 0];
  while (size >= 1000 && unit < UNITS.length - 1) [size, unit] = [size / 1000, unit + 1];
  return `${size < 10 && unit > 0 ? size.toFixed(1) : Math.round(size)} ${UNITS[unit]}`;
}

export class Clip {
  from = null;
  to = null;
  #camera = null;
  #stream = 'main';
  #elements;
  #changed;
  #timer = null;
  #asked = 0;
  #size = null;

  /** `elements`: text, link, clear. `changed()` is called when the mark moves. */
  constructor(elements, changed) {
    [this.#elements, this.#changed] = [elements, changed];
    this.draw();
  }

  get range() {
    return { from: this.from, to: this.to };
  }

  get isWhole() {
    return this.from !== null && this.to !== null;
  }

  setCamera(camera, stream) {
    if (camera === this.#camera && stream === this.#stream) return;
    [this.#camera, this.#stream] = [camera, stream];
    this.#measure();
  }

  /** Marks from `from` to `to`; either may be open (null). Ends in the wrong order are swapped. */
  set(from, to) {
    [this.from, this.to] = [from, to];
    if (this.isWhole && to < from) [this.from, this.to] = [to, from];
    if (this.isWhole && this.to - this.from < SECOND / 25) this.to = this.from + SECOND;
    this.#measure();
    this.#changed();
  }

  /** The address of the MP4 of a range. */
  address(from = this.from, to = this.to) {
    return cameraUrl(this.#camera, 'video.mp4', { from, to, stream: this.#stream === 'main' ? null : this.#stream });
  }

  /** Asks how large it is, once the mark rests. */
  #measure() {
    this.#size = null;
    this.#asked += 1;
    clearTimeout(this.#timer);
    if (this.isWhole && this.#camera) {
      const asked = this.#asked;
      this.#timer = setTimeout(async () => {
        const size = await getLength(this.address()).then(byteSize, (error) =>
          error.status === 404 ? words('markEmpty') : null,
        );
        if (asked !== this.#asked) return;
        this.#size = size;
        this.draw();
      }, PATIENCE);
    }
    this.draw();
  }

  draw() {
    const { text, link, clear } = this.#elements;
    const none = this.from === null && this.to === null;
    text.hidden = clear.hidden = none;
    link.setAttribute('aria-disabled', String(!this.isWhole));
    if (this.isWhole && this.#camera) [link.href, link.download] = [this.address(), ''];
    else link.removeAttribute('href');
    if (none) return;
    const from = clockTime(this.from ?? this.to);
    const mark = this.isWhole ? words('marked', { from, length: duration(this.to - this.from) }) : words('markedOpen', { from });
    text.textContent = this.#size ? words('markedSize', { mark, size: this.#size }) : mark;
  }
}
