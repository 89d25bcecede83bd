// The player: what is on the screen and why. It has three ways to fill the screen – recorded, live, key frames only – and one
// clock for all: the wall clock of the recorder. Everything it decides, it decides in `#tick`, from what the screen holds and
// what the lists say.

import { KeyFrameFeed } from './keyframes.js';
import { LiveFeed } from './live.js';
import { RecordedFeed } from './recorded.js';
import { serverClock } from './requests.js';
import { UnsupportedError } from './screen.js';
import { HOUR, MINUTE, SECOND } from './time.js';

const TICK = 80;
/** Media time begins this much before what is shown first, so that going back needs no new beginning. */
const BASE_BACK = 6 * HOUR;
const BASE_MAX = 40 * HOUR;
/** Video kept ready ahead of the playhead, per step of speed. */
const AHEAD = 16 * SECOND;
const AHEAD_MAX = 50 * SECOND;
/** Seams shorter than this are stepped over without a word; longer ones are gaps, shown this long. */
const SEAM = 600;
const LAST_FRAME = 120;
const LAST_FRAMES = 700;
const CROSSING = 1300;
/** Above this speed only key frames are shown. */
export const WHOLE_SPEED_MAX = 8;
/** How far behind the newest frame live video runs at most before it hurries, and before it jumps; and what it aims at. */
const LIVE_HURRY = 1.6;
const LIVE_JUMP = 6;
const LIVE_AIM = 0.7;
/** Recorded video that comes this near to now becomes live. */
const NEAR_NOW = 5 * SECOND;
const SILENT = 6 * SECOND;
const FAILURES_MAX = 4;

export class Player {
  #screen;
  #recordings;
  #hooks;
  #feed = null;
  #target = null;
  #crossing = null;
  #session = 0;
  #stalledSince = null;
  #dryAt = null;
  #lastFrames = 0;
  #failures = 0;
  #end = false;

  camera = null;
  stream = 'main';
  /** `idle`, `recorded`, `live` or `fast`. */
  mode = 'idle';
  playing = false;
  speed = 1;

  /**
   * `hooks`: `changed()`, `notice(name, values)` and `toast(name, values)` with names of words, `fallback(camera, codecs)`
   * gives another stream or null.
   */
  constructor(screen, recordings, hooks) {
    [this.#screen, this.#recordings, this.#hooks] = [screen, recordings, hooks];
    setInterval(() => this.#tick(), TICK);
    for (const event of ['seeked', 'playing', 'waiting', 'loadeddata']) screen.video.addEventListener(event, () => this.#tick());
    screen.video.addEventListener('loadedmetadata', () => this.#target !== null && screen.seek(this.#target));
    screen.video.addEventListener('error', () => this.#failed(new Error(screen.video.error?.message || 'decoding failed')));
  }

  /** The time shown, or about to be. Null when nothing is. */
  get time() {
    if (this.mode === 'idle') return null;
    if (this.#crossing) {
      const share = Math.min(1, (performance.now() - this.#crossing.begun) / CROSSING);
      return this.#crossing.from + (this.#crossing.to - this.#crossing.from) * (1 - (1 - share) ** 3);
    }
    if (this.#target !== null) return this.#target;
    if (this.mode === 'live' && !this.#screen.heldAt(this.#screen.time)) return serverClock.now();
    if (this.mode === 'fast') return this.#feed.wallTime(this.#screen.video.currentTime);
    return this.#screen.time;
  }

  get track() {
    return this.#screen.track;
  }

  /** How far the picture is behind the newest frame, in seconds; null unless live. */
  get latency() {
    const held = this.mode === 'live' ? this.#screen.held().at(-1) : null;
    return held && this.#target === null ? (held.end - this.#screen.time) / 1000 : null;
  }

  /** Shows `camera` at `time`. */
  async playAt(camera, time, { playing = true, stream = null } = {}) {
    const same = camera === this.camera && (!stream || stream === this.stream);
    [this.playing, this.#end, this.#crossing] = [playing, false, null];
    if (this.speed > WHOLE_SPEED_MAX) return this.#openFast(camera, time, stream);
    const offset = time - this.#screen.base;
    const reuse = same && (this.mode === 'recorded' || this.mode === 'live') && offset > MINUTE && offset < BASE_MAX;
    this.#target = time;
    if (!reuse) {
      await this.#open(camera, stream ?? (same ? this.stream : 'main'), time - BASE_BACK);
      this.#target = time;
    }
    if (this.mode !== 'recorded') this.#setFeed('recorded', new RecordedFeed(this.#screen, this.#feedOptions()));
    this.#feed.jump(time);
    this.#screen.seek(time);
    this.#hooks.notice(null);
    this.#apply();
    return undefined;
  }

  /** Shows what `camera` sends now. */
  async playLive(camera, { stream = null } = {}) {
    const same = camera === this.camera && (!stream || stream === this.stream);
    const now = serverClock.now();
    [this.playing, this.#end, this.#crossing, this.#target] = [true, false, null, null];
    if (this.speed !== 1) this.speed = 1;
    const offset = now - this.#screen.base;
    const reuse = same && (this.mode === 'recorded' || this.mode === 'live') && offset > MINUTE && offset < BASE_MAX;
    if (!reuse) await this.#open(camera, stream ?? (same ? this.stream : 'main'), now - BASE_BACK);
    this.#lastFrames = Date.now();
    let first = true;
    const frames = (span) => {
      this.#lastFrames = Date.now();
      if (first) this.#screen.seek(Math.max(span.start, span.end - LIVE_AIM * SECOND));
      [first, this.#failures] = [false, 0];
      this.#hooks.notice(null);
    };
    const waiting = () => this.#hooks.notice('reconnecting');
    const skipped = () => this.#hooks.toast('skipped');
    this.#hooks.notice('loading');
    this.#setFeed('live', new LiveFeed(this.#screen, { ...this.#feedOptions(), frames, waiting, skipped, ended: () => {} }));
    this.#apply();
  }

  #feedOptions() {
    return { camera: this.camera, stream: this.stream, failed: (error) => this.#failed(error) };
  }

  async #open(camera, stream, base) {
    this.#session += 1;
    const session = this.#session;
    this.#feed?.close();
    [this.#feed, this.mode, this.camera, this.stream] = [null, 'idle', camera, stream];
    this.#hooks.notice('loading');
    this.#hooks.changed();
    await this.#screen.open(Math.floor(base / 1000) * 1000);
    if (session !== this.#session) throw new DOMException('something else is shown', 'AbortError');
  }

  async #openFast(camera, time, stream) {
    const same = camera === this.camera && (!stream || stream === this.stream);
    await this.#open(camera, stream ?? (same ? this.stream : 'main'), 0);
    this.#target = time;
    this.#setFeed('fast', new KeyFrameFeed(this.#screen, { ...this.#feedOptions(), time, speed: this.speed }));
    this.#apply();
  }

  #setFeed(mode, feed) {
    this.#feed?.close();
    [this.#feed, this.mode] = [feed, mode];
    this.#stalledSince = null;
  }

  /** Makes the element do what is wanted. */
  #apply() {
    const { video } = this.#screen;
    const rate = this.mode === 'fast' ? 1 : this.speed;
    if (this.mode !== 'live' && video.playbackRate !== rate) video.playbackRate = rate;
    if (this.playing && !this.#crossing) {
      video.play().catch((error) => {
        if (error.name !== 'NotAllowedError') return;
        this.playing = false;
        this.#hooks.changed();
      });
    } else {
      video.pause();
    }
    this.#hooks.changed();
  }

  pause() {
    this.playing = false;
    if (this.mode === 'live') this.#toRecorded();
    this.#apply();
  }

  resume() {
    if (this.mode === 'idle') return;
    this.playing = true;
    this.#apply();
  }

  /** From live to the same place in what is recorded. */
  #toRecorded() {
    this.#screen.video.playbackRate = Math.min(WHOLE_SPEED_MAX, this.speed);
    this.#setFeed('recorded', new RecordedFeed(this.#screen, this.#feedOptions()));
    this.#hooks.notice(null);
  }

  setSpeed(speed) {
    const [before, time] = [this.speed, this.time];
    this.speed = speed;
    if (time === null) return this.#hooks.changed();
    if (this.mode === 'live' && speed !== 1) this.#toRecorded();
    const fast = speed > WHOLE_SPEED_MAX;
    if (fast || before > WHOLE_SPEED_MAX)
      return this.playAt(this.camera, time, { playing: this.playing || fast }).catch(() => {});
    return this.#apply();
  }

  /** Goes `steps` frames ahead (or back) and stops there. */
  async step(steps) {
    if (this.mode === 'fast') this.setSpeed(1);
    this.pause();
    if (this.mode !== 'recorded') return;
    const from = this.#screen.time;
    let frame = this.#screen.frameAt(steps);
    if (!frame) {
      // Not held: have the feed look there, and wait a moment.
      this.#feed.feed(from + steps * 40 - (steps < 0 ? 3 * SECOND : 0), 6 * SECOND);
      for (let wait = 0; wait < 30 && !frame; wait += 1) {
        await new Promise((done) => setTimeout(done, 60));
        frame = this.#screen.frameAt(steps);
      }
    }
    const next = steps > 0 ? this.#feed.upcoming(from) : null;
    if (frame) this.#screen.seek(frame.middle);
    else if (next) await this.playAt(this.camera, next.start + 1, { playing: false });
    this.#hooks.changed();
  }

  get frameTime() {
    return this.mode === 'recorded' && this.#target === null ? this.#screen.frameTime : this.time;
  }

  #tick() {
    if (this.mode === 'idle' || !this.#feed) return;
    const { video } = this.#screen;
    if (this.#target !== null && this.mode !== 'live' && video.readyState >= 2 && !video.seeking && this.#reached()) {
      this.#target = null;
      this.#hooks.notice(null);
      this.#failures = 0;
    }
    if (this.mode === 'live') this.#tickLive();
    else if (this.mode === 'recorded') this.#tickRecorded();
    else this.#tickFast();
    this.#screen.tidy();
    this.#hooks.changed();
  }

  #reached() {
    if (this.mode === 'fast') return true;
    return Math.abs(this.#screen.time - this.#target) < SECOND;
  }

  #tickLive() {
    const { video } = this.#screen;
    const lag = this.latency;
    if (Date.now() - this.#lastFrames > SILENT)
      this.#hooks.notice('silent', { camera: this.camera, since: this.#screen.held().at(-1)?.end ?? null });
    if (lag === null) return;
    const held = this.#screen.heldAt(this.#screen.time);
    const newest = this.#screen.held().at(-1);
    if (lag > LIVE_JUMP || (!held && newest)) this.#screen.seek(Math.max(newest.start + 1, newest.end - LIVE_AIM * SECOND));
    else video.playbackRate = lag > LIVE_HURRY ? 1.08 : lag < LIVE_AIM / 2 ? 0.95 : lag < LIVE_AIM * 1.4 ? 1 : video.playbackRate;
    if (this.playing && video.paused) video.play().catch(() => {});
  }

  #tickRecorded() {
    if (this.#crossing) return;
    const { video } = this.#screen;
    const time = this.#target ?? this.#screen.time;
    this.#feed.feed(time, Math.min(AHEAD_MAX, AHEAD * Math.max(1, this.speed)));
    const held = this.#screen.heldAt(time);
    const left = held ? held.end - time : 0;
    if (held && (video.seeking || left > LAST_FRAMES || (left > LAST_FRAME && !this.#ranDry(video)))) {
      if (this.#stalledSince !== null && video.readyState >= 3) this.#hooks.notice(null);
      this.#stalledSince = null;
      const lost = this.#target !== null && video.readyState >= 1 && Math.abs(this.#screen.time - this.#target) > SECOND;
      if (lost) this.#screen.seek(this.#target);
      return;
    }
    if (!this.playing && this.#target === null) return;
    this.#goOn(Math.max(time, held?.end ?? 0));
  }

  /** Whether the element waits for more, for so long that it is not for a decoder: with reordered frames it does so before the very end. */
  #ranDry(video) {
    if (!this.playing || video.readyState >= 3) this.#dryAt = null;
    else this.#dryAt ??= performance.now();
    return this.#dryAt !== null && performance.now() - this.#dryAt > 250;
  }

  /** What comes after `edge`, where the picture has run out: more of the same, a gap, or the end. */
  #goOn(edge) {
    this.#stalledSince ??= performance.now();
    const known = this.#feed.knownUntil;
    const next = this.#feed.upcoming(edge);
    if (next && next.start - edge < SEAM) {
      // It is under way, or begins a few frames later: step over the seam once it is there.
      const held = this.#screen.held().find((span) => span.end > next.start + 20 && span.start <= next.end);
      if (held && held.start > edge - 100) this.#jump(Math.max(held.start, edge) + 2);
      else if (performance.now() - this.#stalledSince > 500) this.#hooks.notice('loading');
      return;
    }
    if (next) return this.#cross(edge, next.start);
    if (known === null || known < edge + SECOND) {
      if (this.#target === null && serverClock.now() - edge < NEAR_NOW && this.speed >= 1 && this.playing)
        return void this.playLive(this.camera).catch(() => {});
      if (performance.now() - this.#stalledSince > 400) this.#hooks.notice('loading');
      return;
    }
    this.#crossFar(edge);
  }

  /** The lists end before the next recording: the timeline knows where it is. */
  async #crossFar(edge) {
    if (this.#end) return;
    this.#end = true;
    const session = this.#session;
    await this.#recordings.know(this.camera, edge - MINUTE, serverClock.now()).catch(() => {});
    if (session !== this.#session || !this.#end) return;
    const next = this.#recordings.next(this.camera, edge + 1);
    if (next) {
      this.#cross(edge, next.start);
    } else if (serverClock.now() - edge < MINUTE) {
      this.playLive(this.camera).catch(() => {});
    } else {
      this.#hooks.notice('end', { time: edge });
      this.pause();
    }
  }

  /** Shows that nothing was recorded, and why, and goes on behind it. */
  #cross(from, to) {
    this.#crossing = { from, to, begun: performance.now() };
    const gap = this.#recordings.at(this.camera, (from + to) / 2).gap;
    this.#hooks.notice('gap', { from, to, cause: gap?.cause ?? null });
    this.#screen.video.pause();
    this.#feed.feed(to, AHEAD);
    const session = this.#session;
    setTimeout(() => {
      if (session !== this.#session || this.#crossing?.to !== to) return;
      this.#end = false;
      this.#crossing = null;
      this.#jump(to + 2);
      this.#apply();
    }, CROSSING);
  }

  #jump(time) {
    this.#stalledSince = null;
    this.#target = time;
    this.#feed.jump(time);
    this.#screen.seek(time);
  }

  #tickFast() {
    const { video } = this.#screen;
    this.#feed.tick(video.currentTime);
    if (this.#feed.caughtUp(video.currentTime)) {
      this.speed = 1;
      this.playLive(this.camera).catch(() => {});
    }
  }

  #failed(error) {
    if (error.name === 'AbortError') return;
    if (error instanceof UnsupportedError) {
      const other = this.#hooks.fallback(this.camera, this.stream, error.codecs);
      if (other) this.#again(other);
      else this.#giveUp('unsupported', { codec: error.codecs, time: this.time });
      return;
    }
    this.#failures += 1;
    if (this.#failures > FAILURES_MAX) return void this.#giveUp('failed', { error });
    if (error.name === 'InvalidStateError' || this.#screen.video.error) this.#again(this.stream);
    else if (this.#failures > 1) this.#hooks.notice('retrying', { error });
  }

  #giveUp(name, values) {
    this.#feed?.close();
    [this.#feed, this.mode, this.playing, this.#target] = [null, 'idle', false, null];
    this.#screen.close();
    this.#hooks.notice(name, values);
    this.#hooks.changed();
  }

  /** The same once more on a new screen: after an error, or for a stream that does not fit on this one. */
  #again(stream) {
    const [camera, mode, time, playing] = [this.camera, this.mode, this.time, this.playing];
    // A picture that cannot be decoded would fail again: what comes after it may not.
    const from = this.#screen.video.error ? (time ?? 0) + SECOND : time;
    this.mode = 'idle';
    const begun = mode === 'live' ? this.playLive(camera, { stream }) : this.playAt(camera, from, { stream, playing });
    begun.catch((error) => this.#failed(error));
  }
}
