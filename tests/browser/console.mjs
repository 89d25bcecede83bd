// The console in a browser: a recorded second, the past, a gap, live, single frames, speeds, the link and the download.

import { check, until } from './browser.mjs';

/** What the player and the video element say. */
const probe = (page) =>
  page.evaluate(async () => {
    const { page: console_ } = await import('/console/app.js');
    const { player, notices } = console_;
    const video = document.getElementById('video');
    return {
      mode: player.mode,
      playing: player.playing,
      time: player.time,
      frameTime: player.frameTime,
      latency: player.latency,
      currentTime: video.currentTime,
      rate: video.playbackRate,
      ready: video.readyState,
      frames: video.getVideoPlaybackQuality().totalVideoFrames,
      width: video.videoWidth,
      notice: notices.shown?.name ?? null,
    };
  });

/** Waits until pictures of `from`…`to` are shown and go on. */
async function plays(page, what, from, to) {
  const first = await until(what, async () => {
    const state = await probe(page);
    return state.ready >= 2 && state.width > 0 && state.time >= from && state.time < to && state;
  });
  return until(`${what}, going on`, async () => {
    const state = await probe(page);
    return state.currentTime > first.currentTime + 0.4 && state.frames > first.frames + 4 && state;
  });
}

export async function console_(page, plan, step) {
  const { camera, gap, past, origin } = plan;
  step('a recorded second by its link');
  await page.goto(`${origin}/?camera=${camera}&t=${new Date(past).toISOString()}`, { waitUntil: 'load' });
  await plays(page, 'a recorded second', past - 100, past + 6000);

  step('seeking into the past by a click on the timeline');
  const target = past + 4000;
  const point = await page.evaluate(async (time) => {
    const { page: console_ } = await import('/console/app.js');
    const { start, span } = console_.timeline.view;
    const box = document.getElementById('tracks').getBoundingClientRect();
    return { x: box.left + ((time - start) / span) * box.width, y: box.top + 16, milliseconds: span / box.width };
  }, target);
  await page.mouse.click(point.x, point.y);
  await plays(page, 'the second that was clicked', target - 2 * point.milliseconds - 100, target + 5000);

  step('crossing a gap');
  await page.evaluate(async (id, time) => (await import('/console/app.js')).page.playAt(id, time), camera, gap.start - 1500);
  await until('the gap is told', async () => (await probe(page)).notice === 'gap', 12);
  await plays(page, 'behind the gap', gap.end - 50, gap.end + 8000);

  step('single frames');
  await page.keyboard.press('k');
  await until('paused', async () => !(await probe(page)).playing);
  const still = await probe(page);
  await page.keyboard.press('.');
  const ahead = await until('one frame ahead', async () => {
    const state = await probe(page);
    return state.frameTime > still.frameTime + 5 && state;
  });
  check(ahead.frameTime - still.frameTime < 120, `one frame is ${ahead.frameTime - still.frameTime} ms`);
  await page.keyboard.press(',');
  await until('one frame back', async () => Math.abs((await probe(page)).frameTime - still.frameTime) < 5);

  step('speed');
  await page.select('#speed', '4');
  await page.keyboard.press('k');
  await page.evaluate(async (id, time) => (await import('/console/app.js')).page.playAt(id, time), camera, past);
  const slow = await plays(page, 'four times as fast', past - 100, gap.start);
  check(slow.rate === 4, `the element plays at ${slow.rate}`);
  step('key frames only');
  await page.select('#speed', '16');
  await page.evaluate(async (id, time) => (await import('/console/app.js')).page.playAt(id, time), camera, past);
  await until('key frames run', async () => {
    const state = await probe(page);
    return state.mode === 'fast' && state.time > past + 3000 && state.frames > 0;
  });
  await page.select('#speed', '1');

  step('live');
  await page.keyboard.press('l');
  const live = await until('live pictures', async () => {
    const state = await probe(page);
    return state.mode === 'live' && state.latency !== null && state.latency < 4 && state.ready >= 2 && state;
  });
  const later = await until('live goes on', async () => {
    const state = await probe(page);
    return state.mode === 'live' && state.currentTime > live.currentTime + 1.5 && state.frames > live.frames + 15 && state;
  });
  check(later.notice === null, `a notice is left: ${later.notice}`);

  step('mark and download');
  const size = await page.evaluate(
    async (from, to) => {
      const { page: console_ } = await import('/console/app.js');
      console_.clip.set(from, to);
      const link = document.getElementById('download');
      const answer = await fetch(link.href, { method: 'HEAD' });
      return { status: answer.status, length: Number(answer.headers.get('content-length')) };
    },
    past,
    past + 2000,
  );
  check(size.status === 200 && size.length > 1000, `the download answers ${JSON.stringify(size)}`);

  step('languages');
  await page.click('[data-language=vi]');
  const spoken = await page.evaluate(() => [document.documentElement.lang, document.querySelector('#live span').textContent]);
  check(spoken.join() === 'vi,Trực tiếp', `the page speaks ${spoken}`);
}
