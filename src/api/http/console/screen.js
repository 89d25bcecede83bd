// The screen: one <video> whose time line is the wall clock. Segments go in with the time they were recorded at; the screen knows
// which of them it holds, throws away what lies far behind, and says when each frame is shown.
//
// The element's time is seconds since `base`, an instant some hours before what is shown, because a media clock that begins in 1970 loses
// precision in some browsers. Gaps stay gaps: nothing is moved together.

import { hideTracks, readFrames, readInit } from './boxes.js';

/** What is kept behind the playhead, and the frames whose times are remembered. */
const KEEP_BEHIND = 40;
const FRAMES_MAX = 20_000;
/** Ends nearer than this are one range: times are rounded on their way through the media engine. */
const SLACK = 0.09;

/** The browser cannot show this codec. */
export class UnsupportedError extends Error {
  constructor(codecs) {
    super(`unsupported: ${codecs}`);
    this.codecs = codecs;
  }
}

export class Screen {
  #video;
  #source = null;
  #buffer = null;
  #url = null;
  #queue = Promise.resolve();
  #init = null;
  #tracks = [];
  #type = '';
  #shape = '';
  #frames = [];
  #opened = 0;

  constructor(video) {
    this.#video = video;
    this.base = 0;
  }

  get video() {
    return this.#video;
  }

  /** The video track of what was put in last: `{ codec, width, height, timescale }`. */
  get track() {
    return this.#tracks.find((track) => track.kind === 'video') ?? null;
  }

  /** The time shown, in milliseconds of the wall clock. */
  get time() {
    return this.base + this.#video.currentTime * 1000;
  }

  /** Begins anew, with times from `base` on. What was shown stays until the first new frame. */
  async open(base) {
    this.close();
    this.base = base;
    this.#opened += 1;
    const opened = this.#opened;
    const Source = window.ManagedMediaSource ?? window.MediaSource;
    if (!Source) throw new UnsupportedError('MediaSource');
    this.#source = new Source();
    if (window.ManagedMediaSource) this.#video.disableRemotePlayback = true;
    this.#url = URL.createObjectURL(this.#source);
    this.#video.src = this.#url;
    await new Promise((done) => this.#source.addEventListener('sourceopen', done, { once: true }));
    if (opened !== this.#opened) throw new DOMException('opened again', 'AbortError');
    this.#source.duration = Infinity;
  }

  close() {
    this.#opened += 1;
    [this.#source, this.#buffer, this.#init, this.#shape, this.#frames] = [null, null, null, '', []];
    this.#queue = Promise.resolve();
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = null;
  }

  /** Whether `init` has to be put in before the next part. */
  needs(init) {
    return init !== this.#init;
  }

  /**
   * Puts in an init segment, named by `key`. Tracks that the browser cannot play are hidden from it: a picture without sound is
   * better than none. Gives false when this screen cannot go on with it and has to be opened anew.
   */
  putInit(key, bytes, { pictureOnly = false } = {}) {
    return this.#next(async () => {
      const tracks = readInit(bytes);
      const Source = window.ManagedMediaSource ?? window.MediaSource;
      const video = tracks.find((track) => track.kind === 'video');
      const type = (kept) => `video/mp4; codecs="${kept.map((track) => track.codec).join(', ')}"`;
      if (!video || !Source.isTypeSupported(type([video]))) throw new UnsupportedError(video?.codec ?? '');
      const audio =
        !pictureOnly && tracks.find((track) => track.kind === 'audio' && Source.isTypeSupported(type([video, track])));
      const kept = audio ? [video, audio] : [video];
      // Kinds of tracks cannot change within one source buffer (Media Source Extensions §3.5.8).
      const shape = kept.map((track) => track.kind).join();
      if (this.#shape && this.#shape !== shape) return false;
      if (!this.#buffer) {
        this.#buffer = this.#source.addSourceBuffer(type(kept));
        this.#buffer.mode = 'segments';
      } else if (this.#type !== type(kept)) {
        this.#buffer.changeType(type(kept));
      }
      [this.#type, this.#shape, this.#tracks] = [type(kept), shape, kept];
      hideTracks(bytes, new Set(kept.map((track) => track.id)));
      await this.#append(bytes);
      this.#init = key;
      return true;
    });
  }

  /**
   * Puts in a part. `place` says where it belongs on the wall clock: `{ origin }`, the instant its media times count from, or
   * `{ start }`, when its first key frame is shown. Gives the frames' span, in milliseconds.
   */
  putPart(bytes, place) {
    return this.#next(async () => {
      if (!this.#buffer) return null;
      const { id, timescale } = this.track;
      const frames = readFrames(bytes, id);
      if (!frames.length) return null;
      const key = frames.find((frame) => frame.key) ?? frames[0];
      const origin = place.origin ?? place.start - (key.time / timescale) * 1000;
      hideTracks(bytes, new Set(this.#tracks.map((track) => track.id)));
      const offset = (origin - this.base) / 1000;
      if (this.#buffer.timestampOffset !== offset) this.#buffer.timestampOffset = offset;
      await this.#append(bytes);
      return this.#remember(frames, timescale, origin);
    });
  }

  #remember(frames, timescale, origin) {
    const times = frames.map((frame) => origin + (frame.time / timescale) * 1000).sort((a, b) => a - b);
    const last = frames[frames.length - 1];
    const end = times[times.length - 1] + (last.duration / timescale) * 1000;
    const others = this.#frames.filter((time) => time < times[0] - 1 || time > times[times.length - 1] + 1);
    this.#frames = others.concat(times).sort((a, b) => a - b);
    if (this.#frames.length > FRAMES_MAX) {
      const now = this.time;
      this.#frames = this.#frames.filter((time) => Math.abs(time - now) < KEEP_BEHIND * 2000);
    }
    return { start: times[0], end };
  }

  async #append(bytes) {
    try {
      await this.#done(() => this.#buffer.appendBuffer(bytes));
    } catch (error) {
      if (error.name !== 'QuotaExceededError') throw error;
      // Full: what is behind goes, then what is far ahead.
      const now = this.#video.currentTime;
      await this.#remove(0, now - 2);
      await this.#remove(now + 12, Infinity);
      await this.#done(() => this.#buffer.appendBuffer(bytes));
    }
  }

  /** Throws away what lies far behind the playhead. */
  tidy() {
    const limit = this.#video.currentTime - KEEP_BEHIND;
    const ranges = this.#buffer?.buffered;
    if (!ranges?.length || ranges.start(0) > limit - 10) return;
    this.#next(() => this.#remove(0, limit)).catch(() => {});
  }

  async #remove(from, to) {
    if (this.#buffer && to > from) await this.#done(() => this.#buffer.remove(Math.max(0, from), to));
  }

  /** Does `act` after everything before it; one failure does not stop what follows. */
  #next(act) {
    const opened = this.#opened;
    const result = this.#queue.then(() => {
      if (opened !== this.#opened) throw new DOMException('opened again', 'AbortError');
      return act();
    });
    this.#queue = result.catch(() => {});
    return result;
  }

  #done(act) {
    const buffer = this.#buffer;
    return new Promise((resolve, reject) => {
      const end = (event) => {
        for (const kind of ['updateend', 'error', 'abort']) buffer.removeEventListener(kind, end);
        if (event.type === 'updateend') resolve();
        else reject(new Error(this.#video.error?.message || 'the media engine refused a segment'));
      };
      for (const kind of ['updateend', 'error', 'abort']) buffer.addEventListener(kind, end);
      try {
        act();
      } catch (error) {
        for (const kind of ['updateend', 'error', 'abort']) buffer.removeEventListener(kind, end);
        reject(error);
      }
    });
  }

  /** What is held, as spans of milliseconds of the wall clock. */
  held() {
    const ranges = this.#video.buffered;
    const spans = [];
    for (let index = 0; index < ranges.length; index += 1) {
      spans.push({ start: this.base + ranges.start(index) * 1000, end: this.base + ranges.end(index) * 1000 });
    }
    return spans;
  }

  /** The span that holds `time`, or begins or ends next to it. */
  heldAt(time) {
    return this.held().find((span) => span.start - SLACK * 1000 <= time && time < span.end + SLACK * 1000) ?? null;
  }

  /** Whether `time` itself is held. */
  holds(time) {
    return this.held().some((span) => span.start <= time && time < span.end);
  }

  /** Goes to `time`; a little past the beginning of a frame, so that rounding never shows the one before. */
  seek(time) {
    this.#video.currentTime = Math.max(0, (time - this.base) / 1000);
  }

  /** The beginning of the frame that is `steps` after (or before) the one shown, or null where it is not held. */
  frameAt(steps) {
    const now = this.time + 1;
    let shown = this.#frames.findIndex((time) => time > now) - 1;
    if (shown === -2) shown = this.#frames.length - 1;
    const wanted = this.#frames[shown + steps];
    if (wanted === undefined || !this.heldAt(wanted)) return null;
    const following = this.#frames[shown + steps + 1];
    return { time: wanted, middle: wanted + Math.min(20, following ? (following - wanted) / 2 : 5) };
  }

  /** The beginning of the frame shown. */
  get frameTime() {
    return this.frameAt(0)?.time ?? this.time;
  }
}
