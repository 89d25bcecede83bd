// Key frames only, for speeds at which no decoder shows every frame: each chosen key frame becomes a part of its own, shown as
// long as the speed wants it. The element plays at its own pace; what one second of it stands for is `speed` seconds of
// recording.

import { keyFramePart, readFrames, readInit } from './boxes.js';
import { readList } from './playlist.js';
import { cameraUrl, getBytes, getText, RequestError, serverClock } from './requests.js';
import { SECOND } from './time.js';

/** Pictures a second at most, and how many seconds of pictures are kept ready. */
const PICTURES = 8;
const READY = 4;
const FETCHES_MAX = 4;
/** The longest that one picture is shown when the next one is far away: a gap is crossed in this time. */
const SHOWN_MAX = 0.6;
/** Seconds of recording that one list covers, at most. */
const WINDOW_MAX = 30 * 60 * SECOND;

export class KeyFrameFeed {
  #screen;
  #camera;
  #stream;
  #failed;
  #speed;
  #stop = new AbortController();
  #next;
  #end = 0;
  #shown = [];
  #busy = false;
  #done = false;

  constructor(screen, { camera, stream, failed, time, speed }) {
    [this.#screen, this.#camera, this.#stream, this.#failed, this.#speed] = [screen, camera, stream, failed, speed];
    this.#next = time;
  }

  close() {
    this.#stop.abort();
  }

  /** The instant that the element's time `seconds` stands for. */
  wallTime(seconds) {
    const at = this.#shown.findLast((picture) => picture.from <= seconds) ?? this.#shown[0];
    if (!at) return this.#next;
    return at.time + Math.min(1, Math.max(0, (seconds - at.from) / at.shown)) * at.covers;
  }

  /** Whether all there is has been shown. */
  caughtUp(seconds) {
    return this.#done && seconds > this.#end - 0.3;
  }

  tick(seconds) {
    if (this.#busy || this.#done || seconds + READY < this.#end) return;
    this.#busy = true;
    this.#bring()
      .catch((error) => {
        if (error.name !== 'AbortError') this.#failed(error);
      })
      .finally(() => {
        this.#busy = false;
      });
  }

  /** The next few seconds of pictures. */
  async #bring() {
    const span = Math.min(WINDOW_MAX, this.#speed * READY * SECOND);
    const from = this.#next;
    const to = Math.min(from + span, serverClock.now());
    const pictures = await this.#list(from, to);
    const chosen = this.#choose(pictures);
    for (let index = 0; index < chosen.length; index += FETCHES_MAX) {
      const some = chosen.slice(index, index + FETCHES_MAX);
      const bytes = await Promise.all(some.map((picture) => this.#fetch(picture)));
      for (const [at, picture] of some.entries())
        if (bytes[at]) await this.#put(picture, bytes[at], chosen[index + at + 1]?.start ?? to);
    }
    this.#next = to;
    this.#done = serverClock.now() - to < 2 * SECOND;
  }

  async #list(from, to) {
    const signal = this.#stop.signal;
    const url = cameraUrl(this.#camera, 'hls/keys.m3u8', { from, to, stream: this.#stream });
    try {
      return readList(await getText(url, { signal }), url).filter((part) => part.start >= from && part.start < to);
    } catch (error) {
      if (error instanceof RequestError && error.status === 404) return [];
      throw error;
    }
  }

  /** As many as can be shown, evenly. */
  #choose(pictures) {
    const apart = (this.#speed * SECOND) / PICTURES;
    let last = -Infinity;
    return pictures.filter((picture) => {
      if (picture.start - last < apart * 0.98) return false;
      last = picture.start;
      return true;
    });
  }

  async #fetch({ url }) {
    try {
      return await getBytes(url, { signal: this.#stop.signal });
    } catch (error) {
      if (error instanceof RequestError && error.status >= 400) return null;
      throw error;
    }
  }

  async #put(picture, bytes, next) {
    if (this.#screen.needs(picture.init)) {
      const init = await getBytes(picture.init, { signal: this.#stop.signal });
      const tracks = readInit(init);
      const taken = await this.#screen.putInit(picture.init, init, { pictureOnly: true });
      if (!taken || !tracks.length) throw new DOMException('another kind of recording', 'InvalidStateError');
    }
    const { id, timescale } = this.#screen.track;
    const frame = readFrames(bytes, id).find((one) => one.key);
    if (!frame || frame.offset + frame.size > bytes.byteLength) return;
    const covers = next - picture.start;
    const shown = Math.min(SHOWN_MAX, Math.max(1 / PICTURES, covers / SECOND / this.#speed));
    const part = keyFramePart({
      track: id,
      time: this.#end * timescale,
      duration: shown * timescale,
      data: bytes.slice(frame.offset, frame.offset + frame.size),
    });
    await this.#screen.putPart(part, { origin: this.#screen.base });
    this.#shown.push({ from: this.#end, shown, time: picture.start, covers });
    if (this.#shown.length > 500) this.#shown.shift();
    this.#end += shown;
  }
}
