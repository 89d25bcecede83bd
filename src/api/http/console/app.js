// The page: puts its parts together, and keeps what is chosen – camera, time, speed – in one place and in the address.

import { Cameras } from './cameras.js';
import { Clip } from './clip.js';
import { Controls } from './controls.js';
import { Notices, codecName } from './notices.js';
import { Player } from './player.js';
import { Preview } from './preview.js';
import { Recordings } from './recordings.js';
import { serverClock } from './requests.js';
import { Screen } from './screen.js';
import { Calendar, drawCamera, drawGaps } from './side.js';
import { DAY, fromText, HOUR, MINUTE, SECOND, startOfDay, toText } from './time.js';
import { Timeline } from './timeline.js';
import { inView } from './tracks.js';
import { onLanguage, translate, words } from './words.js';

const byId = (id) => document.getElementById(id);
/** How often the address follows the picture: browsers refuse more than a few changes a second. */
const ADDRESS_EVERY = 2 * SECOND;
const FIRST_SPAN_MIN = 4 * MINUTE;
const SCRUB_EVERY = 120;

class Page {
  constructor() {
    this.recordings = new Recordings(() => this.timeline.redraw());
    this.screen = new Screen(byId('video'));
    this.notices = new Notices(
      {
        box: byId('notice'),
        spinner: byId('notice-spinner'),
        title: byId('notice-title'),
        text: byId('notice-text'),
        actions: byId('notice-actions'),
        toast: byId('toast'),
      },
      (name, values) => this.#noticeActions(name, values),
    );
    this.player = new Player(this.screen, this.recordings, {
      changed: () => this.#changed(),
      notice: (name, values) => this.#notice(name, values),
      toast: (name, values) => this.notices.toast(name, values),
      fallback: (camera, stream, codecs) => this.#fallback(camera, stream, codecs),
    });
    this.preview = new Preview(
      { box: byId('tip'), time: byId('tip-time'), text: byId('tip-text'), video: byId('tip-video') },
      this.recordings,
    );
    this.timeline = new Timeline(
      {
        root: byId('timelines'),
        axis: byId('axis'),
        tracks: byId('tracks'),
        names: byId('names'),
        none: byId('none'),
        span: byId('span'),
      },
      this.recordings,
      {
        pick: (camera, time) => this.playAt(camera, time),
        scrub: (time, moving) => this.#scrub(time, moving),
        select: (camera) => this.select(camera),
        mark: (from, to) => this.clip.set(from, to),
        hover: (place) => this.preview.show(place && { ...place, grain: (this.timeline.view.span / window.innerWidth) * 3 }),
        moved: () => this.#drawSideSoon(),
      },
    );
    this.clip = new Clip({ text: byId('marked'), link: byId('download'), clear: byId('mark-clear') }, () =>
      this.timeline.setMark(this.clip.range),
    );
    this.calendar = new Calendar(byId('calendar'), (day) => this.#pickDay(day));
    this.cameras = new Cameras((error) => this.#camerasChanged(error));
    this.controls = new Controls(this);
    this.camera = null;
    this.shown = [];
    this.addressed = 0;
    onLanguage(() => this.#languageChanged());
  }

  async start() {
    translate(document);
    this.controls.draw();
    await this.cameras.start();
    addEventListener('popstate', () => this.#fromAddress());
    this.#fromAddress();
  }

  /** Shows what the address says: `?camera=gate&t=2026-11-23T08:00:00Z`. */
  #fromAddress() {
    const wanted = new URLSearchParams(location.search);
    const camera =
      this.cameras.get(wanted.get('camera')) ?? this.cameras.all.find((one) => one.state === 'recording') ?? this.cameras.all[0];
    if (!camera) return;
    const time = fromText(wanted.get('t') ?? '');
    const age = serverClock.now() - (camera.first ?? serverClock.now());
    const span = Math.min(HOUR, Math.max(FIRST_SPAN_MIN, age * 1.3));
    if (Number.isNaN(time)) {
      this.timeline.look(serverClock.now() - span * 0.92, span, { glide: false, follow: true });
      this.playLive(camera.id);
    } else {
      this.timeline.look(time - span / 2, span, { glide: false, follow: true });
      this.playAt(camera.id, time);
    }
  }

  /** The address of what is shown. */
  address() {
    const url = new URL(location.pathname, location.origin);
    if (this.camera) url.searchParams.set('camera', this.camera);
    const time = this.player.mode === 'live' ? null : this.player.time;
    if (time !== null) url.searchParams.set('t', toText(time));
    return url.href;
  }

  #keepAddress() {
    if (!this.camera || Date.now() - this.addressed < ADDRESS_EVERY) return;
    this.addressed = Date.now();
    const address = this.address();
    if (address !== location.href) history.replaceState(null, '', address);
  }

  #choose(camera) {
    const other = camera !== this.camera;
    this.camera = camera;
    this.timeline.select(camera);
    this.clip.setCamera(camera, other ? 'main' : this.player.stream);
    if (other) this.#drawSideSoon();
  }

  playAt(camera, time, options = {}) {
    if (time > serverClock.now() - SECOND) return this.playLive(camera, options);
    this.#choose(camera);
    this.timeline.show(time);
    return this.player.playAt(camera, time, options).catch((error) => this.#stopped(error));
  }

  playLive(camera = this.camera, options = {}) {
    if (!camera) return undefined;
    this.#choose(camera);
    const { start, span } = this.timeline.view;
    const now = serverClock.now();
    if (now < start || now > start + span) this.timeline.showNow();
    else this.timeline.show(now);
    return this.player.playLive(camera, options).catch((error) => this.#stopped(error));
  }

  #stopped(error) {
    if (error.name === 'AbortError') return;
    if (error.codecs) this.#notice('unsupported', { codec: error.codecs, time: this.player.time });
    else this.#notice('failed', { error });
  }

  /** Another camera, at the same time. */
  select(camera) {
    const { time, mode, playing } = this.player;
    if (mode === 'idle' || mode === 'live' || time === null) this.playLive(camera);
    else this.playAt(camera, time, { playing });
  }

  setStream(stream) {
    const { time, mode, playing } = this.player;
    if (mode === 'live' || time === null) this.playLive(this.camera, { stream });
    else this.playAt(this.camera, time, { stream, playing });
  }

  #scrub(time, moving) {
    const now = Date.now();
    if (!this.camera || (moving && now - (this.scrubbed ?? 0) < SCRUB_EVERY)) return;
    this.scrubbed = now;
    const playing = moving ? false : (this.resumeAfterScrub ?? this.player.playing);
    if (moving) this.resumeAfterScrub ??= this.player.playing;
    else delete this.resumeAfterScrub;
    this.playAt(this.camera, time, { playing });
  }

  /** To `milliseconds` from where the picture is. */
  move(milliseconds) {
    const { time, playing } = this.player;
    if (time !== null) this.playAt(this.camera, time + milliseconds, { playing });
  }

  /** The next (or previous) gap: a moment before it, so that it is seen coming. */
  async toGap(direction) {
    const time = this.player.time;
    if (time === null) return;
    await this.recordings.know(this.camera, time - DAY, serverClock.now()).catch(() => {});
    const { gaps } = this.recordings.of(this.camera);
    const real = gaps.filter((gap) => gap.cause !== 'enrolled');
    const found =
      direction > 0 ? real.find((gap) => gap.start > time + 3 * SECOND) : real.findLast((gap) => gap.start < time - 4 * SECOND);
    if (found) this.playAt(this.camera, found.start - 2 * SECOND);
  }

  toFirst() {
    const camera = this.cameras.get(this.camera);
    if (camera?.first) this.playAt(camera.id, camera.first + 1);
  }

  /** The whole day in view, played from its first recording on. */
  async #pickDay(day) {
    const end = startOfDay(day, 1);
    this.timeline.look(day, end - day, { follow: true });
    const { runs } = await this.recordings.know(this.camera, day, end).catch(() => ({ runs: [] }));
    const first = runs.find((run) => run.end > day);
    if (first && first.start < end) this.playAt(this.camera, Math.max(day, first.start) + 1);
    byId('side').classList.remove('open');
  }

  search(text) {
    this.searched = text;
    this.#showCameras();
  }

  /** The camera above or below in the list. */
  selectNext(steps) {
    const at = this.shown.findIndex((camera) => camera.id === this.camera);
    const next = this.shown[Math.max(0, Math.min(this.shown.length - 1, at + steps))];
    if (next && next.id !== this.camera) this.select(next.id);
  }

  #showCameras() {
    const found = this.cameras.search(this.searched ?? '');
    const told = JSON.stringify(found.map((camera) => [camera.id, camera.name, camera.state]));
    if (told === this.told) return;
    [this.told, this.shown] = [told, found];
    this.timeline.setCameras(found);
    this.timeline.select(this.camera);
    byId('none').textContent = this.cameras.all.length ? words('noCameras', { text: this.searched }) : words('noneEnrolled');
  }

  #camerasChanged(error) {
    this.controls.drawHealth(this.cameras.all, error);
    if (error) return;
    this.#showCameras();
    this.#drawSideSoon();
    const camera = this.cameras.get(this.camera);
    if (this.player.mode === 'idle' && this.notices.shown?.name === 'empty' && camera?.last) this.playLive(camera.id);
  }

  #notice(name, values = {}) {
    const camera = this.cameras.get(this.camera);
    if (camera?.state === 'empty' && name === 'loading') return this.notices.show('empty');
    if (name === 'silent') {
      const gap = this.recordings.at(this.camera, serverClock.now() - SECOND).gap;
      return this.notices.show('silent', { since: values.since ?? camera?.last ?? null, cause: gap?.cause ?? null });
    }
    return this.notices.show(name, values);
  }

  #noticeActions(name, values) {
    if (name === 'failed')
      return [{ words: 'tryAgain', act: () => (values.time ? this.playAt(this.camera, values.time) : this.playLive()) }];
    if (name === 'end') return [{ words: 'showLive', act: () => this.playLive() }];
    if (name !== 'unsupported') return [];
    const to = Math.min((values.time ?? serverClock.now()) + MINUTE, serverClock.now());
    return [{ words: 'downloadMinute', href: this.clip.address(to - MINUTE, to) }];
  }

  /** A stream that this browser may be able to show where it cannot show `stream`. */
  #fallback(id, stream, codecs) {
    if (stream !== 'main' || !this.cameras.get(id)?.hasSub) return null;
    this.notices.toast('fellBack', { codec: codecName(codecs) });
    return 'sub';
  }

  #changed() {
    if (!this.controls) return;
    const { player } = this;
    this.timeline.setHead(player.time, { live: player.mode === 'live', exact: !player.playing && player.mode === 'recorded' });
    this.controls.draw();
    this.#keepAddress();
    if (player.time !== null && this.camera) this.calendar.show(this.camera, player.time);
    const told = [player.stream, player.mode, player.track?.codec, player.track?.width].join();
    if (told !== this.toldPlayer) {
      this.toldPlayer = told;
      this.clip.setCamera(this.camera, player.stream);
      this.#drawSideSoon();
    }
  }

  #drawSideSoon() {
    if (this.sideTimer) return;
    this.sideTimer = setTimeout(() => {
      this.sideTimer = null;
      this.#drawSide();
    }, 250);
  }

  #drawSide() {
    const camera = this.cameras.get(this.camera);
    drawCamera(byId('camera-card'), { camera, player: this.player, setStream: (stream) => this.setStream(stream) });
    if (!camera) return;
    const gaps = inView(this.recordings.of(camera.id).gaps, this.timeline.view).filter((gap) => gap.cause !== 'enrolled');
    const told = JSON.stringify([camera.id, gaps, document.documentElement.lang]);
    if (told !== this.toldGaps) drawGaps(byId('gaps-card'), gaps, (time) => this.playAt(camera.id, time - 2 * SECOND));
    this.toldGaps = told;
  }

  #languageChanged() {
    this.told = null;
    this.#showCameras();
    this.controls.languageChanged(this.cameras.all);
    this.notices.draw();
    this.clip.draw();
    this.calendar.draw();
    this.#drawSide();
    this.timeline.redraw();
  }
}

const page = new Page();
page.start();
export { page };
