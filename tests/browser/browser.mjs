// A browser that is watched: errors of a page, failed requests and requests to elsewhere make its test fail.

import { createRequire } from 'node:module';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const modules = createRequire(`${process.env.NVRING_TEST_MODULES}/`);
const puppeteer = modules('puppeteer-core').default ?? modules('puppeteer-core');

/** Where the file of an npm module lies. */
export function moduleFile(name) {
  return modules.resolve(name);
}

const CHROMIUM = [
  '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync',
  '--mute-audio --disable-features=Translate,OptimizationHints,MediaRouter --autoplay-policy=no-user-gesture-required',
];

const FIREFOX = {
  'app.update.disabledForTesting': true,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'extensions.systemAddon.update.enabled': false,
  'media.autoplay.default': 0,
  'media.hardware-video-decoding.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,',
  'toolkit.telemetry.enabled': false,
};

/** Starts `name` (`chromium` or `firefox`) with an empty profile. */
export async function start(name) {
  const userDataDir = mkdtempSync(path.join(tmpdir(), 'nvring-browser-'));
  const common = { headless: true, userDataDir, protocolTimeout: 60_000 };
  const browser = await puppeteer.launch(
    name === 'chromium'
      ? { ...common, browser: 'chrome', executablePath: '/usr/bin/chromium', args: CHROMIUM.flatMap((line) => line.split(' ')) }
      : { ...common, browser: 'firefox', executablePath: '/usr/bin/firefox-esr', extraPrefsFirefox: FIREFOX },
  );
  const end = async () => {
    await browser.close().catch(() => {});
    rmSync(userDataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };
  return { browser, end };
}

/** A page that is watched. `faults` fills with what must not happen. */
export async function watchedPage(browser, origin, viewport = { width: 1280, height: 800 }) {
  const page = await browser.newPage();
  const faults = [];
  await page.setViewport(viewport);
  page.on('console', (message) => {
    const icon = message.location()?.url?.endsWith('/favicon.ico');
    if (message.type() === 'error' && !icon) faults.push(`console: ${message.text()} ${message.location()?.url ?? ''}`);
  });
  page.on('pageerror', (error) => faults.push(`page: ${error.stack ?? error}`));
  page.on('request', (request) => {
    const url = new URL(request.url());
    const own = ['blob:', 'data:', 'about:'].includes(url.protocol) || url.host === new URL(origin).host;
    if (!own) faults.push(`a request left for ${request.url()}`);
  });
  page.on('response', (response) => {
    // The icon of a page that names none is asked for by the browser itself.
    const browsers = new URL(response.url()).pathname === '/favicon.ico';
    if (response.status() >= 400 && !browsers) faults.push(`${response.status()} of ${response.url()}`);
  });
  return { page, faults };
}

/** Waits until `probe()` gives something true; `what` names it when it never does. */
export async function until(what, probe, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < end) {
    last = await probe();
    if (last) return last;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`${what}: not within ${seconds} s`);
}

export function check(held, message) {
  if (!held) throw new Error(message);
}
