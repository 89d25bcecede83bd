// What is recorded: the runs and gaps of each camera, fetched for what is looked at, kept, and refreshed where they still grow.

import { cameraUrl, getJson, serverClock } from './requests.js';
import { fromText, SECOND } from './time.js';

/** How often the end that grows is asked for again, and how far behind it the question begins. */
const REFRESH = 4 * SECOND;
const REFRESH_BACK = 30 * SECOND;
/** Requests under way at once, so that video is never behind a queue of lists. */
const REQUESTS_MAX = 2;
/** Ends nearer than this belong together: one recording that two answers told in two parts. */
const TOUCHING = 1;

/** What kind of trouble a cause is: the camera's, the recorder's, or none. Decides the colour. */
const KINDS = {
  'camera-lost': 'camera',
  'camera-restarted': 'camera',
  'bad-stream': 'camera',
  overload: 'recorder',
  disk: 'recorder',
  restart: 'recorder',
  clock: 'planned',
  'parameters-changed': 'planned',
  disabled: 'planned',
  enrolled: 'planned',
};

export function kindOf(cause) {
  return KINDS[cause] ?? 'recorder';
}

export class Recordings {
  #known = new Map();
  #wanted = null;
  #running = 0;
  #failures = new Map();
  #changed;

  /** `changed` is called whenever more is known. */
  constructor(changed) {
    this.#changed = changed;
  }

  /** Runs and gaps of a camera as far as they are known, in order. */
  of(camera) {
    return this.#known.get(camera) ?? { runs: [], gaps: [], from: Infinity, to: -Infinity };
  }

  /** The error of a camera's last request, if it failed. */
  failure(camera) {
    return this.#failures.get(camera)?.error;
  }

  /** Sees to it that `cameras` become known between `from` and `to`. Called as often as you like. */
  want(cameras, from, to) {
    this.#wanted = { cameras, from, to };
    this.#next();
  }

  /** Makes a camera known between `from` and `to` now; for a decision that waits for it. */
  async know(camera, from, to) {
    const known = this.of(camera);
    if (known.from <= from && known.to >= Math.min(to, serverClock.now() - REFRESH)) return this.of(camera);
    await this.#fetch(camera, { from, to });
    return this.of(camera);
  }

  /** What is at `time`: `{ run }`, `{ gap }`, or neither where nothing is known. */
  at(camera, time) {
    const { runs, gaps } = this.of(camera);
    const run = runs.find((span) => span.start <= time && time < span.end);
    if (run) return { run };
    const gap = gaps.find((span) => span.start <= time && time < span.end);
    return gap ? { gap } : {};
  }

  /** The first run that begins at or after `time`, if it is known. */
  next(camera, time) {
    return this.of(camera).runs.find((run) => run.start >= time);
  }

  #next() {
    if (!this.#wanted) return;
    const { cameras, from, to } = this.#wanted;
    for (const camera of cameras) {
      if (this.#running >= REQUESTS_MAX) return;
      const range = this.#missing(camera, from, to);
      if (!range) continue;
      this.#running += 1;
      this.of(camera).asking = true;
      this.#fetch(camera, range)
        .catch(() => {})
        .finally(() => {
          this.#running -= 1;
          this.#changed();
          this.#next();
        });
    }
  }

  /** What of a range is not known yet or no longer fresh. */
  #missing(camera, from, to) {
    const now = serverClock.now();
    const failed = this.#failures.get(camera);
    if (failed && Date.now() - failed.at < REFRESH) return null;
    const known = this.#known.get(camera);
    const end = Math.min(to, now);
    if (!known) return this.#entry(camera) && { from: from - (to - from), to: end + (to - from) };
    if (known.asking) return null;
    if (from < known.from || end > known.to + REFRESH * 4) return { from: from - (to - from), to: end + (to - from) };
    // The end is looked at: what was last known of it is asked for again.
    if (end > known.to - REFRESH && now - known.to > REFRESH) return { from: known.to - REFRESH_BACK, to: now };
    return null;
  }

  #entry(camera) {
    const entry = { runs: [], gaps: [], from: Infinity, to: -Infinity, asking: false };
    this.#known.set(camera, entry);
    return entry;
  }

  async #fetch(camera, range) {
    const entry = this.#known.get(camera) ?? this.#entry(camera);
    const from = Math.max(0, range.from);
    const to = Math.min(range.to, serverClock.now());
    try {
      if (to <= from) return;
      const answer = await getJson(cameraUrl(camera, 'timeline', { from, to }));
      merge(entry, read(answer), from, to);
      this.#failures.delete(camera);
    } catch (error) {
      this.#failures.set(camera, { error, at: Date.now() });
      throw error;
    } finally {
      entry.asking = false;
    }
  }
}

function read(answer) {
  const span = (item) => ({ ...item, start: fromText(item.start), end: fromText(item.end) });
  return { runs: answer.runs.map(span), gaps: answer.gaps.map(span) };
}

/** Takes what an answer says of `from`…`to` into what is known; outside of it everything stays. */
export function merge(entry, fresh, from, to) {
  const apart = to < entry.from || from > entry.to;
  entry.runs = apart ? fresh.runs : joined(entry.runs, fresh.runs, from, to);
  entry.gaps = apart ? fresh.gaps : joined(entry.gaps, fresh.gaps, from, to);
  entry.from = apart ? from : Math.min(entry.from, from);
  entry.to = apart ? to : Math.max(entry.to, to);
}

function joined(old, fresh, from, to) {
  const before = old.filter((span) => span.start < from).map((span) => ({ ...span, end: Math.min(span.end, from) }));
  const after = old.filter((span) => span.end > to).map((span) => ({ ...span, start: Math.max(span.start, to) }));
  const all = [];
  for (const span of [...before, ...fresh, ...after]) {
    const last = all[all.length - 1];
    // Only the seams at `from` and `to` are joined: everywhere else two spans are two spans.
    const seam = Math.abs(span.start - from) <= TOUCHING || Math.abs(span.start - to) <= TOUCHING;
    if (last && seam && span.start - last.end <= TOUCHING && last.cause === span.cause && span.end > span.start)
      last.end = Math.max(last.end, span.end);
    else all.push(span);
  }
  return all;
}
