// A page with plain Media Source Extensions, sharing no line with the console: the list and its parts as RFC 8216 describes them,
// live as the interface describes it. Media time is the wall clock since `zero`.

import { check, until } from './browser.mjs';

/** Runs in the page: gives it `window.rig`. */
function makeRig(base) {
  const video = document.createElement('video');
  video.muted = true;
  document.body.append(video);
  let [source, buffer, zero] = [null, null, 0];
  const update = (act) =>
    new Promise((done, fail) => {
      buffer.addEventListener('updateend', done, { once: true });
      buffer.addEventListener('error', () => fail(new Error(video.error?.message ?? 'append failed')), { once: true });
      act();
    });
  async function open(codecs, from) {
    source = new MediaSource();
    zero = from;
    video.src = URL.createObjectURL(source);
    await new Promise((done) => source.addEventListener('sourceopen', done, { once: true }));
    buffer = source.addSourceBuffer(`video/mp4; codecs="${codecs}"`);
  }
  /** The parts of a range: `{ url, init, start, end }` and the codecs that the list of lists names. */
  async function list(from, to) {
    const text = async (url) => (await fetch(url)).text();
    const master = `${base}/hls/index.m3u8?from=${new Date(from).toISOString()}&to=${new Date(to).toISOString()}`;
    const first = await text(master);
    const codecs = /CODECS="([^"]+)"/.exec(first)[1];
    const media = new URL(
      first.split('\n').find((line) => line && !line.startsWith('#')),
      master,
    ).href;
    const parts = [];
    let [init, start, length] = [null, 0, 0];
    for (const line of (await text(media)).split('\n')) {
      if (line.startsWith('#EXT-X-MAP')) init = new URL(/URI="([^"]+)"/.exec(line)[1], media).href;
      else if (line.startsWith('#EXT-X-PROGRAM-DATE-TIME:')) start = Date.parse(line.slice(25));
      else if (line.startsWith('#EXTINF:')) length = Number.parseFloat(line.slice(8)) * 1000;
      else if (line && !line.startsWith('#')) parts.push({ url: new URL(line, media).href, init, start, end: start + length });
    }
    return { codecs, parts };
  }
  /** The decode time of a part, in seconds: parts of one run need no other place than that. */
  function decodeTime(bytes, scale) {
    const view = new DataView(bytes);
    for (let at = 0; at + 20 < bytes.byteLength; at += 1) {
      if (view.getUint32(at) === 0x74666474)
        return Number(view.getUint8(at + 4) ? view.getBigUint64(at + 8) : view.getUint32(at + 8)) / scale;
    }
    return 0;
  }
  const scale = (bytes) => {
    const view = new DataView(bytes);
    let at = 0;
    while (view.getUint32(at) !== 0x6d646864) at += 1;
    return view.getUint32(at + (view.getUint8(at + 4) === 1 ? 24 : 16));
  };
  async function fill(parts) {
    let [init, units] = [null, 1];
    for (const part of parts) {
      if (part.init !== init) {
        const head = await (await fetch(part.init)).arrayBuffer();
        units = scale(head);
        await update(() => buffer.appendBuffer(head));
        init = part.init;
      }
      const bytes = await (await fetch(part.url)).arrayBuffer();
      buffer.timestampOffset = (part.start - zero) / 1000 - decodeTime(bytes, units);
      await update(() => buffer.appendBuffer(bytes));
    }
  }
  function live() {
    const socket = new WebSocket(`${base.replace('http', 'ws')}/live`);
    socket.binaryType = 'arraybuffer';
    const told = [];
    let order = Promise.resolve();
    socket.onmessage = ({ data }) => {
      order = order.then(async () => {
        if (typeof data === 'string') {
          const event = JSON.parse(data);
          told.push(event);
          if (event.type !== 'run') return;
          if (!source) await open(event.codecs, Date.parse(event.start) - 3600_000);
          buffer.timestampOffset = (Date.parse(event.start) - zero) / 1000 - event.media_start;
          return;
        }
        await update(() => buffer.appendBuffer(data));
        const ranges = video.buffered;
        if (ranges.length && video.currentTime < ranges.start(0)) video.currentTime = ranges.end(0) - 0.2;
        if (video.paused) video.play();
      });
    };
    return told;
  }
  const state = () => ({
    time: zero + video.currentTime * 1000,
    currentTime: video.currentTime,
    ready: video.readyState,
    error: video.error?.message ?? null,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    buffered: [...Array(video.buffered.length).keys()].map((index) => [video.buffered.start(index), video.buffered.end(index)]),
  });
  const reset = () => ([source, buffer] = [null, null]);
  window.rig = { video, open, list, fill, live, state, reset, seek: (time) => (video.currentTime = (time - zero) / 1000) };
}

export async function mse(page, { camera, gap, past, origin }, step) {
  const state = () => page.evaluate(() => window.rig.state());
  const goesOn = async (what, from, to) => {
    const first = await until(what, async () => {
      const now = await state();
      return now.ready >= 2 && now.time >= from - 20 && now.time < to && now;
    });
    return until(`${what}, going on`, async () => {
      const now = await state();
      return now.currentTime > first.currentTime + 0.4 && now.frames > first.frames + 4;
    });
  };
  step('a recorded second');
  await page.goto(`${origin}/healthz`, { waitUntil: 'load' });
  await page.evaluate(makeRig, `${origin}/api/v1/cameras/${camera}`);
  const { codecs, parts } = await page.evaluate(
    async (from, to) => {
      const found = await window.rig.list(from, to);
      await window.rig.open(found.codecs, from - 3600_000);
      await window.rig.fill(found.parts);
      return found;
    },
    past,
    gap.end + 6000,
  );
  check(codecs.length > 0 && parts.length > 3, `the list has ${parts.length} parts of ${codecs}`);
  await page.evaluate((time) => (window.rig.seek(time), window.rig.video.play()), past + 1000);
  await goesOn('a recorded second', past + 1000, past + 6000);
  step('seeking into the past');
  await page.evaluate((time) => window.rig.seek(time), past);
  await goesOn('the past', past, past + 6000);
  step('crossing a gap');
  const before = await state();
  check(before.buffered.length >= 2, `the gap is in what is held: ${JSON.stringify(before.buffered)}`);
  await page.evaluate((time) => window.rig.seek(time), gap.start - 1000);
  await until('the end of the run is reached', async () => (await state()).time > gap.start - 300, 10);
  await page.evaluate((time) => window.rig.seek(time), gap.end + 5);
  await goesOn('behind the gap', gap.end, gap.end + 7000);
  step('live');
  const now = Date.now();
  await page.evaluate(() => (window.rig.reset(), (window.told = window.rig.live()), undefined));
  const live = await until('live pictures', async () => {
    const shown = await state();
    return shown.ready >= 2 && shown.time > now - 10_000 && shown;
  });
  await until('live goes on', async () => {
    const shown = await state();
    return shown.currentTime > live.currentTime + 1.5 && shown.frames > live.frames + 15;
  });
  const told = await page.evaluate(() => window.told);
  check(told[0].type === 'run' && told[0].width > 0, `live begins with ${JSON.stringify(told[0])}`);
}
