// Drives one browser through the pages: the console, a page with hls.js, a page with plain Media Source Extensions. Called by
// main.rs with what to show as JSON: { browser, origin, camera, gap: { start, end }, past }, times in milliseconds. Ends with 0 when
// everything was as it should be.

import { start, watchedPage } from './browser.mjs';
import { console_ } from './console.mjs';
import { hls } from './hls.mjs';
import { mse } from './mse.mjs';

const plan = JSON.parse(process.argv[2]);
const { browser, end } = await start(plan.browser);
let failed = false;
for (const [name, scenario] of Object.entries({ console: console_, mse, hls })) {
  const { page, faults } = await watchedPage(browser, plan.origin);
  const begun = Date.now();
  let [step, stepBegun] = ['opening', begun];
  const times = [];
  const next = (name) => {
    times.push(`${step} ${((Date.now() - stepBegun) / 1000).toFixed(1)}`);
    [step, stepBegun] = [name, Date.now()];
  };
  try {
    await scenario(page, plan, next);
    next('end');
  } catch (error) {
    faults.push(`${step}: ${error.message}`);
  }
  await page.close();
  for (const fault of faults) console.log(`${plan.browser} ${name}: ${fault}`);
  const result = faults.length ? 'FAILED' : 'as it should be';
  console.log(`${plan.browser} ${name}: ${result} (seconds: ${times.join(', ')})`);
  failed ||= faults.length > 0;
}
await end();
process.exit(failed ? 1 : 0);
