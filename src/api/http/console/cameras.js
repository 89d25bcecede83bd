// The cameras: who they are, whether they record, and which of them a search finds.

import { getList, serverClock } from './requests.js';
import { fromText, SECOND } from './time.js';

const REFRESH = 5 * SECOND;

/** Small letters without accents: `Cổng chính` is found by `cong chinh`. */
export function plain(text) {
  return text.normalize('NFD').replace(/\p{M}/gu, '').replace(/[đĐ]/g, 'd').toLowerCase();
}

export class Cameras {
  all = [];
  #changed;
  #words = new Map();

  /** `changed(error)` is called when the list or a state has changed, and when the server could not be asked. */
  constructor(changed) {
    this.#changed = changed;
  }

  async start() {
    await this.#refresh();
    setInterval(() => this.#refresh(), REFRESH);
  }

  async #refresh() {
    try {
      const [cameras, status] = await Promise.all([getList('cameras'), getList('status').catch(() => null)]);
      const states = new Map((status?.streams ?? []).filter((one) => one.stream === 'main').map((one) => [one.camera, one]));
      this.all = cameras.map((camera) => this.#read(camera, states.get(camera.id)));
      this.#changed(null);
    } catch (error) {
      this.#changed(error);
    }
  }

  #read(camera, status) {
    const main = camera.streams.find((one) => one.stream === 'main') ?? {};
    const sub = camera.streams.find((one) => one.stream === 'sub') ?? null;
    const last = main.last ? fromText(main.last) : null;
    let state = 'silent';
    if (!camera.enabled) state = 'disabled';
    else if (status ? status.state === 'recording' : last && serverClock.now() - last < 10 * SECOND) state = 'recording';
    else if (!last) state = 'empty';
    const found = `${camera.name} ${camera.id} ${camera.area} ${camera.owner} ${camera.system}`;
    if (!this.#words.has(found)) this.#words.set(found, plain(found));
    return {
      ...camera,
      state,
      first: main.first ? fromText(main.first) : null,
      last,
      hasSub: Boolean(sub?.last),
      found: this.#words.get(found),
    };
  }

  get(id) {
    return this.all.find((camera) => camera.id === id) ?? null;
  }

  /** Those that hold every word of `text`, accents or not. */
  search(text) {
    const wanted = plain(text).split(/\s+/).filter(Boolean);
    return this.all.filter((camera) => wanted.every((word) => camera.found.includes(word)));
  }
}
