// The buttons, the keyboard, the bar at the top: what they show and what they call.

import { closeOutside, openHelp } from './help.js';
import { KEYS, listenToKeys } from './keys.js';
import { WHOLE_SPEED_MAX } from './player.js';
import { serverClock } from './requests.js';
import { clockTime, dayName, exactTime, fromText, MINUTE, SECOND, toInput, zoneName } from './time.js';
import { label, remember, remembered, setLanguage, words } from './words.js';

const byId = (id) => document.getElementById(id);
export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256];
const THEMES = ['', 'light', 'dark'];
const LINES_MIN = 90;
const CAPTION_SHOWN = 2500;

export class Controls {
  #page;
  #drawn = '';

  constructor(page) {
    this.#page = page;
    this.#fillSpeeds();
    this.#nameKeys();
    const { player } = page;
    const press = (id, act) => byId(id).addEventListener('click', act);
    const actions = this.#actions();
    for (const [id, action] of [
      ['play', 'toggle'],
      ['big-play', 'toggle'],
      ['back', 'back'],
      ['ahead', 'ahead'],
      ['frame-back', 'frameBack'],
      ['frame-ahead', 'frameAhead'],
      ['live', 'live'],
      ['clock', 'goto'],
      ['mark-in', 'markIn'],
      ['mark-out', 'markOut'],
      ['mark-clear', 'markClear'],
      ['link', 'copy'],
      ['mute', 'mute'],
      ['full', 'fullscreen'],
      ['help-open', 'help'],
      ['zoom-in', 'zoomIn'],
      ['zoom-out', 'zoomOut'],
      ['to-now', 'live'],
    ])
      press(id, actions[action]);
    byId('download').addEventListener('click', (event) => {
      if (page.clip.isWhole) return;
      event.preventDefault();
      page.notices.toast('markFirst');
    });
    byId('video').addEventListener('click', actions.toggle);
    byId('stage').addEventListener('dblclick', actions.fullscreen);
    byId('speed').addEventListener('change', (event) => player.setSpeed(Number(event.target.value)));
    byId('search').addEventListener('input', (event) => page.search(event.target.value));
    for (const event of ['pointermove', 'pointerdown', 'pointerleave'])
      byId('stage').addEventListener(event, () => this.#wake(event));
    press('theme', () => this.#nextTheme());
    press('side-open', () => byId('side').classList.toggle('open'));
    for (const button of document.querySelectorAll('[data-language]'))
      button.addEventListener('click', () => setLanguage(button.dataset.language));
    byId('goto').addEventListener('close', () => this.#goto());
    closeOutside(byId('help'));
    closeOutside(byId('goto'));
    listenToKeys(actions);
    this.#splitter(byId('splitter'));
    this.#setTheme(remembered('nvring.theme'));
    this.#setMuted(remembered('nvring.sound') !== 'on');
    setInterval(() => this.#drawWall(), 1000);
  }

  #actions() {
    const page = this.#page;
    const { player, timeline, clip } = page;
    const speed = (steps) => {
      const at = SPEEDS.indexOf(player.speed);
      player.setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, at + steps))]);
    };
    const frameTime = () => player.frameTime ?? serverClock.now();
    return {
      toggle: () => (player.mode === 'idle' ? page.playLive() : player.playing ? player.pause() : player.resume()),
      back: () => page.move(-10 * SECOND),
      ahead: () => page.move(10 * SECOND),
      backMinute: () => page.move(-MINUTE),
      aheadMinute: () => page.move(MINUTE),
      frameBack: () => player.step(-1),
      frameAhead: () => player.step(1),
      cameraAbove: () => page.selectNext(-1),
      cameraBelow: () => page.selectNext(1),
      slower: () => speed(-1),
      faster: () => speed(1),
      live: () => page.playLive(),
      gapAfter: () => page.toGap(1),
      gapBefore: () => page.toGap(-1),
      markIn: () => clip.set(frameTime(), clip.to !== null && clip.to > frameTime() ? clip.to : null),
      markOut: () => clip.set(clip.from !== null && clip.from < frameTime() ? clip.from : null, frameTime()),
      markClear: () => clip.set(null, null),
      download: () => byId('download').click(),
      copy: () => this.#copy(),
      goto: () => this.#openGoto(),
      zoomIn: () => timeline.zoom(0.5),
      zoomOut: () => timeline.zoom(2),
      first: () => page.toFirst(),
      search: () => byId('search').focus(),
      fullscreen: () => this.#fullscreen(),
      mute: () => this.#setMuted(!byId('video').muted),
      help: () => openHelp(byId('help')),
    };
  }

  #fillSpeeds() {
    const group = (key, speeds) => {
      const made = document.createElement('optgroup');
      made.label = words(key);
      made.append(...speeds.map((speed) => new Option(`${speed}×`, String(speed), speed === 1, speed === 1)));
      return made;
    };
    const whole = (speed) => speed <= WHOLE_SPEED_MAX;
    const groups = [
      group('speedWhole', SPEEDS.filter(whole)),
      group(
        'speedKeys',
        SPEEDS.filter((speed) => !whole(speed)),
      ),
    ];
    byId('speed').replaceChildren(...groups);
  }

  /** Tooltips name the keys. */
  #nameKeys() {
    const ids = {
      play: 'key-space',
      'frame-back': ['key-frames', 0],
      'frame-ahead': ['key-frames', 1],
      back: ['key-arrows', 0],
      ahead: ['key-arrows', 1],
      live: 'key-live',
      'mark-in': ['key-mark', 0],
      'mark-out': ['key-mark', 1],
      download: 'key-download',
      link: 'key-copy',
      clock: 'key-goto',
      mute: ['key-screen', 1],
      full: ['key-screen', 0],
      'zoom-in': ['key-zoom', 0],
      'zoom-out': ['key-zoom', 1],
      'help-open': 'key-help',
    };
    for (const [id, wanted] of Object.entries(ids)) {
      const [name, index] = [wanted].flat();
      byId(id).dataset.key = KEYS.find((key) => key.words === name).shown[index ?? 0];
    }
  }

  /** Shows the state of the player; called often, changes little. */
  draw() {
    const { player, notices } = this.#page;
    const { time } = player;
    const live = player.mode === 'live';
    const camera = this.#page.cameras.get(this.#page.camera);
    const exact = !player.playing && player.mode === 'recorded';
    const shownTime = time === null ? '––:––:––' : exact ? exactTime(player.frameTime) : clockTime(time);
    const told = [
      shownTime,
      live,
      player.playing,
      player.speed,
      camera?.name,
      notices.shown?.name,
      document.documentElement.lang,
    ].join();
    if (told === this.#drawn) return;
    this.#drawn = told;
    byId('clock-day').textContent = time === null ? '' : dayName(time);
    byId('clock-time').textContent = shownTime;
    byId('caption-name').textContent = camera ? camera.name || camera.id : '';
    byId('caption-time').textContent = time === null ? '' : `${dayName(time)} ${shownTime}`;
    const badge = byId('caption-badge');
    badge.hidden = !live && player.speed === 1;
    badge.textContent = live ? words('live') : `${player.speed}×`;
    badge.classList.toggle('on', live);
    byId('live').setAttribute('aria-pressed', String(live));
    byId('play-icon').setAttribute('href', player.playing ? '#i-pause' : '#i-play');
    label(byId('play'), player.playing ? 'pause' : 'play');
    byId('big-play').hidden = player.playing || player.mode === 'idle' || notices.shown !== null;
    byId('speed').value = String(player.speed);
    for (const id of ['frame-back', 'frame-ahead', 'back', 'ahead', 'mark-in', 'mark-out']) byId(id).disabled = time === null;
    document.title = camera ? `${camera.name || camera.id} · nvring` : 'nvring';
  }

  /** The caption shows while a pointer moves over the picture: cameras write their own time there. */
  #wake(event) {
    const { classList } = byId('stage');
    clearTimeout(this.sleep);
    classList.toggle('awake', event !== 'pointerleave');
    this.sleep = setTimeout(() => classList.remove('awake'), CAPTION_SHOWN);
  }

  drawHealth(cameras, error) {
    const health = byId('health');
    const wanted = cameras.filter((camera) => camera.enabled);
    const bad = wanted.filter((camera) => camera.state !== 'recording').length;
    health.dataset.state = error ? 'unknown' : bad ? 'bad' : 'ok';
    if (error) health.textContent = words('healthUnknown');
    else
      health.textContent = bad
        ? words('healthBad', { n: bad, all: wanted.length })
        : words('healthOk', { n: wanted.length, all: wanted.length });
    health.hidden = !error && wanted.length === 0;
  }

  languageChanged(cameras) {
    const speed = byId('speed').value;
    this.#fillSpeeds();
    byId('speed').value = speed;
    this.#drawn = '';
    this.draw();
    this.drawHealth(cameras, null);
    this.#setMuted(byId('video').muted);
    this.#drawWall();
  }

  #drawWall() {
    const now = serverClock.now();
    byId('wall').textContent = `${dayName(now)}  ${clockTime(now)}`;
    byId('wall').title = zoneName(now);
  }

  #setTheme(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  }

  /** As the system, light, dark. */
  #nextTheme() {
    const at = THEMES.indexOf(document.documentElement.dataset.theme ?? '');
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    // The first press always changes what is seen.
    const order = dark ? ['', 'light', 'dark'] : ['', 'dark', 'light'];
    const next = order[(order.indexOf(THEMES[at]) + 1) % order.length];
    remember('nvring.theme', next);
    this.#setTheme(next);
  }

  #setMuted(muted) {
    byId('video').muted = muted;
    remember('nvring.sound', muted ? 'off' : 'on');
    byId('mute-icon').setAttribute('href', muted ? '#i-mute' : '#i-sound');
    label(byId('mute'), muted ? 'mute' : 'unmute');
  }

  async #copy() {
    const link = this.#page.address();
    try {
      await navigator.clipboard.writeText(link);
      this.#page.notices.toast('copied');
    } catch {
      // Without TLS a browser gives no clipboard: the address is shown instead.
      history.replaceState(null, '', link);
      this.#page.notices.toast('copyByHand', { link });
    }
  }

  #openGoto() {
    const time = this.#page.player.time ?? serverClock.now();
    byId('goto').returnValue = '';
    byId('goto-time').value = toInput(time);
    byId('goto-time').max = toInput(serverClock.now());
    byId('goto-zone').textContent = words('zone', { zone: zoneName(time) });
    byId('goto').showModal();
  }

  #goto() {
    const time = fromText(byId('goto-time').value);
    if (byId('goto').returnValue === 'go' && !Number.isNaN(time)) this.#page.playAt(this.#page.camera, time);
  }

  #fullscreen() {
    if (document.fullscreenElement) return void document.exitFullscreen();
    const stage = byId('stage');
    if (stage.requestFullscreen) stage.requestFullscreen().catch(() => this.#page.notices.toast('cannotFullscreen'));
    else if (byId('video').webkitEnterFullscreen) byId('video').webkitEnterFullscreen();
    else this.#page.notices.toast('cannotFullscreen');
    return undefined;
  }

  /** The bar between picture and timelines: dragged, or moved with the arrow keys. */
  #splitter(bar) {
    const set = (height) => {
      const most = window.innerHeight - 260;
      document.documentElement.style.setProperty('--lines', `${Math.max(LINES_MIN, Math.min(most, height))}px`);
    };
    const height = () => byId('timelines').offsetHeight;
    const keep = () => remember('nvring.lines', String(height()));
    if (Number(remembered('nvring.lines')) > 0) set(Number(remembered('nvring.lines')));
    bar.addEventListener('pointerdown', (event) => {
      const [y, begun] = [event.clientY, height()];
      const move = (moved) => set(begun + y - moved.clientY);
      bar.setPointerCapture(event.pointerId);
      bar.addEventListener('pointermove', move);
      bar.addEventListener('pointerup', () => (bar.removeEventListener('pointermove', move), keep()), { once: true });
    });
    bar.addEventListener('keydown', (event) => {
      const steps = { ArrowUp: 24, ArrowDown: -24 }[event.key];
      if (!steps) return;
      event.preventDefault();
      set(height() + steps);
      keep();
    });
  }
}
