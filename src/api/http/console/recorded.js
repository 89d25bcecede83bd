// Recorded video: keeps the screen filled around the playhead with parts of the camera's HLS list.
//
// Lists are asked for in windows of time, never for all there is. Parts have stable names, so what the browser has cached is not
// sent again. A part that cannot be had (overwritten by the ring, unreadable) is skipped after two attempts; the player then
// crosses it like a gap.

import { readList } from './playlist.js';
import { cameraUrl, getBytes, getText, RequestError, serverClock } from './requests.js';
import { MINUTE, SECOND } from './time.js';

const WINDOW = 2 * MINUTE;
const WINDOW_BACK = 12 * SECOND;
/** How often a list that still grows is asked for. */
const GROWTH = SECOND;
const ATTEMPTS_MAX = 2;
const FETCHES_MAX = 2;
const PARTS_MAX = 2000;
const RETRY = 1500;

export class RecordedFeed {
  #screen;
  #camera;
  #stream;
  #failed;
  #stop = new AbortController();
  #parts = [];
  #known = null;
  #asked = 0;
  #listing = null;
  #fetches = new Map();
  #attempts = new Map();
  #inits = new Map();
  /** Parts that this feed has put on the screen: what live video left there is not trusted. */
  #put = new Set();
  #position = 0;
  #ahead = 0;
  #busy = false;
  #pausedUntil = 0;

  /** `failed(error)` is told of everything that stops the feed for the moment. */
  constructor(screen, { camera, stream, failed }) {
    [this.#screen, this.#camera, this.#stream, this.#failed] = [screen, camera, stream, failed];
  }

  close() {
    this.#stop.abort();
  }

  /** Keeps `ahead` milliseconds from `time` on filled. Called as the playhead moves; returns at once. */
  feed(time, ahead) {
    [this.#position, this.#ahead] = [time, ahead];
    if (Date.now() < this.#pausedUntil || this.#stop.signal.aborted) return;
    this.#list();
    this.#fill();
  }

  /** Forgets what was under way for another place. */
  jump(time) {
    if (!this.#known || time < this.#known.from || time > this.#known.to) {
      this.#stop.abort();
      this.#stop = new AbortController();
      [this.#parts, this.#known, this.#listing, this.#asked] = [[], null, null, 0];
      this.#fetches.clear();
      this.#attempts.clear();
    }
    this.#position = time;
  }

  /** The part that goes on at `edge`, or else the first one behind it: where the screen has shown all it holds, what comes next. */
  upcoming(edge) {
    return this.#parts.find((part) => {
      const middle = (part.start + part.end) / 2;
      return !this.#isBad(part) && (middle > edge || (part.end > edge + 20 && !this.#isHeld(part)));
    });
  }

  /** Until when the lists tell what there is; null before the first. */
  get knownUntil() {
    return this.#known?.to ?? null;
  }

  #isBad(part) {
    return (this.#attempts.get(part.url) ?? 0) >= ATTEMPTS_MAX;
  }

  #isHeld(part) {
    return this.#put.has(part.url) && this.#screen.holds((part.start + part.end) / 2);
  }

  #list() {
    if (this.#listing) return;
    const [position, now] = [this.#position, serverClock.now()];
    let range = null;
    if (!this.#known || position < this.#known.from || position > this.#known.to + WINDOW)
      range = { from: position - WINDOW_BACK, to: position + WINDOW };
    else if (position - WINDOW_BACK / 2 < this.#known.from && this.#known.from > 0 && !this.#known.begun)
      range = { from: this.#known.from - WINDOW_BACK, to: this.#known.from };
    else if (position + this.#ahead > this.#known.to) range = { from: this.#known.to - WINDOW_BACK, to: this.#known.to + WINDOW };
    if (!range || (range.to > now && Date.now() - this.#asked < GROWTH)) return;
    this.#asked = Date.now();
    this.#listing = this.#fetchList(range)
      .catch((error) => this.#fail(error))
      .finally(() => {
        this.#listing = null;
      });
  }

  async #fetchList({ from, to }) {
    const signal = this.#stop.signal;
    const now = serverClock.now();
    const query = { from: Math.max(0, from), to, stream: this.#stream };
    let listed = [];
    try {
      const url = cameraUrl(this.#camera, 'hls/media.m3u8', query);
      listed = readList(await getText(url, { signal }), url);
    } catch (error) {
      // Nothing recorded in the window is an answer too.
      if (!(error instanceof RequestError) || error.status !== 404) throw error;
    }
    if (signal.aborted) return;
    const end = Math.min(to, now - GROWTH);
    const joins = this.#known && from <= this.#known.to && to >= this.#known.from;
    const begun = !listed.length || listed[0].start > from + SECOND;
    this.#known = joins
      ? {
          from: Math.min(this.#known.from, from),
          to: Math.max(this.#known.to, end),
          begun: from < this.#known.from ? begun : this.#known.begun,
        }
      : { from, to: end, begun: false };
    const parts = new Map(joins ? this.#parts.map((part) => [part.url, part]) : []);
    for (const part of listed) parts.set(part.url, part);
    this.#parts = [...parts.values()].sort((a, b) => a.start - b.start);
    if (this.#parts.length > PARTS_MAX)
      this.#parts = this.#parts.filter((part) => Math.abs(part.start - this.#position) < 10 * WINDOW);
    this.#fill();
  }

  /** The parts in reach of the playhead that the screen does not hold, nearest first. */
  #missing() {
    const [from, to] = [this.#position, this.#position + this.#ahead];
    return this.#parts.filter((part) => part.end > from && part.start < to && !this.#isBad(part) && !this.#isHeld(part));
  }

  async #fill() {
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let missing = this.#missing(); missing.length; missing = this.#missing()) {
        for (const part of missing.slice(0, FETCHES_MAX)) this.#fetch(part);
        await this.#bring(missing[0]);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#busy = false;
    }
  }

  #fetch(part) {
    if (!this.#fetches.has(part.url)) {
      const bytes = getBytes(part.url, { signal: this.#stop.signal });
      bytes.catch(() => {});
      this.#fetches.set(part.url, bytes);
    }
    return this.#fetches.get(part.url);
  }

  async #bring(part) {
    const signal = this.#stop.signal;
    this.#attempts.set(part.url, (this.#attempts.get(part.url) ?? 0) + 1);
    try {
      if (this.#screen.needs(part.init)) {
        const init = await this.#initBytes(part.init);
        if (signal.aborted) return;
        if (!(await this.#screen.putInit(part.init, init.slice(0))))
          throw new DOMException('another kind of recording', 'InvalidStateError');
      }
      const bytes = await this.#fetch(part);
      if (signal.aborted) return;
      await this.#screen.putPart(bytes.slice(0), { start: part.start });
      this.#put.add(part.url);
      if (this.#isHeld(part)) this.#attempts.delete(part.url);
    } catch (error) {
      const gone = error instanceof RequestError && error.status >= 400;
      if (!gone) {
        this.#attempts.delete(part.url);
        throw error;
      }
      this.#attempts.set(part.url, ATTEMPTS_MAX);
    } finally {
      this.#fetches.delete(part.url);
    }
  }

  #initBytes(url) {
    if (!this.#inits.has(url)) {
      const bytes = getBytes(url, { signal: this.#stop.signal });
      bytes.catch(() => this.#inits.delete(url));
      this.#inits.set(url, bytes);
    }
    return this.#inits.get(url);
  }

  #fail(error) {
    if (error.name === 'AbortError') return;
    this.#pausedUntil = Date.now() + RETRY;
    this.#failed(error);
  }
}
