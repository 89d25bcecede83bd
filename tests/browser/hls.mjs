// A page with hls.js: the player that most front ends use must play our lists as they are.

import { check, moduleFile, until } from './browser.mjs';

/** Runs in the page: gives it `window.rig`. */
function makeRig() {
  const video = document.createElement('video');
  video.muted = true;
  document.body.append(video);
  let player = null;
  const faults = [];
  window.rig = {
    faults,
    load(url) {
      player?.destroy();
      // No worker: its script would be a `blob:` of the library, and what is tested is the stream.
      player = new window.Hls({ enableWorker: false, maxBufferLength: 20 });
      player.on(window.Hls.Events.ERROR, (_, data) => {
        if (data.fatal) faults.push(`${data.type} ${data.details} ${data.reason ?? ''}`);
      });
      player.loadSource(url);
      player.attachMedia(video);
      player.on(window.Hls.Events.MANIFEST_PARSED, () => video.play());
    },
    seek: (seconds) => (video.currentTime = seconds),
    state: () => ({
      currentTime: video.currentTime,
      date: player.playingDate?.getTime() ?? null,
      ready: video.readyState,
      duration: video.duration,
      frames: video.getVideoPlaybackQuality().totalVideoFrames,
      faults,
    }),
  };
}

export async function hls(page, { camera, gap, past, origin }, step) {
  const state = () => page.evaluate(() => window.rig.state());
  const goesOn = async (what, from, to) => {
    const first = await until(what, async () => {
      const now = await state();
      check(now.faults.length === 0, now.faults.join());
      return now.ready >= 2 && now.date >= from && now.date < to && now;
    });
    return until(`${what}, going on`, async () => {
      const now = await state();
      return now.currentTime > first.currentTime + 0.4 && now.frames > first.frames + 4;
    });
  };
  step('a recorded second');
  await page.goto(`${origin}/healthz`, { waitUntil: 'load' });
  await page.addScriptTag({ path: moduleFile('hls.js/dist/hls.min.js') });
  await page.evaluate(makeRig);
  const list = `${origin}/api/v1/cameras/${camera}/hls/index.m3u8`;
  const range = `${list}?from=${new Date(past).toISOString()}&to=${new Date(gap.end + 6000).toISOString()}`;
  await page.evaluate((url) => window.rig.load(url), range);
  await goesOn('a recorded second', past - 3000, past + 6000);
  step('crossing a gap');
  // hls.js lays parts end to end: the gap is where the first run has been played.
  await page.evaluate((seconds) => window.rig.seek(seconds), (gap.start - past) / 1000 - 1.5);
  await goesOn('behind the gap', gap.end - 100, gap.end + 7000);
  step('seeking into the past');
  await page.evaluate(() => window.rig.seek(1));
  await goesOn('the past', past - 3000, past + 6000);
  step('live');
  const now = Date.now();
  await page.evaluate((url) => window.rig.load(url), list);
  await goesOn('live', now - 45_000, now + 60_000);
}
