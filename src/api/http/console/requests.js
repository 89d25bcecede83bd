// Requests to the server, errors in a form that can be told, and what the server's clock says.

import { toText } from './time.js';

const BASE = 'api/v1';

/** An answer that is not 200, or no answer at all (`status` 0). */
export class RequestError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
    this.detail = detail;
  }
}

/** The address of a camera's `what`, with its query. Times may be given as milliseconds. */
export function cameraUrl(camera, what, query = {}) {
  const url = new URL(`${BASE}/cameras/${encodeURIComponent(camera)}/${what}`, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null)
      url.searchParams.set(name, typeof value === 'number' && name !== 'count' ? toText(value) : value);
  }
  return url.href;
}

async function request(url, options = {}) {
  const sent = Date.now();
  let answer;
  try {
    answer = await fetch(url, { credentials: 'same-origin', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new RequestError(0, error.message);
  }
  serverClock.learn(sent, Date.now(), answer.headers.get('date'));
  if (answer.ok) return answer;
  const text = await answer.text().catch(() => '');
  let detail = text;
  try {
    detail = JSON.parse(text).detail ?? text;
  } catch {
    // Not a problem document: the text itself is what there is to tell.
  }
  throw new RequestError(answer.status, detail || answer.statusText);
}

export async function getJson(url, options) {
  return (await request(url, options)).json();
}

export async function getText(url, options) {
  return (await request(url, options)).text();
}

export async function getBytes(url, options) {
  return (await request(url, options)).arrayBuffer();
}

/** The length of what is at `url`, without fetching it. */
export async function getLength(url, options) {
  const answer = await request(url, { ...options, method: 'HEAD' });
  return Number(answer.headers.get('content-length'));
}

/** A list under `/api/v1` that belongs to no camera. */
export function getList(name, options) {
  return getJson(new URL(`${BASE}/${name}`, document.baseURI).href, options);
}

/**
 * The server's clock. Each answer's `Date` (whole seconds) bounds the difference between the two clocks from both sides; the
 * bounds of all answers together leave a few milliseconds after some requests.
 */
export const serverClock = {
  least: -Infinity,
  most: Infinity,

  learn(sent, received, date) {
    const second = Date.parse(date ?? '');
    if (Number.isNaN(second)) return;
    const least = second - received;
    const most = second + 1000 - sent;
    if (least > this.most || most < this.least) {
      // One of the clocks was set: begin anew.
      [this.least, this.most] = [least, most];
      return;
    }
    this.least = Math.max(this.least, least);
    this.most = Math.min(this.most, most);
  },

  now() {
    const known = Number.isFinite(this.least) && Number.isFinite(this.most);
    return Date.now() + (known ? (this.least + this.most) / 2 : 0);
  },
};
