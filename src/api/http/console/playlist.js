// HLS media lists (RFC 8216), as far as this page needs them: which parts there are, when each begins, which init segment goes before it.

import { fromText } from './time.js';

/** The parts of a list: `{ url, start, end, init }`, times in milliseconds. */
export function readList(text, base) {
  const parts = [];
  const absolute = (uri) => new URL(uri, base).href;
  let [init, time, length] = [null, null, 0];
  for (const line of text.split(/\r?\n/)) {
    const value = line.slice(line.indexOf(':') + 1);
    if (line.startsWith('#EXT-X-MAP:')) init = absolute(/URI="([^"]*)"/.exec(value)?.[1] ?? '');
    else if (line.startsWith('#EXT-X-PROGRAM-DATE-TIME:')) time = fromText(value);
    else if (line.startsWith('#EXTINF:')) length = Number.parseFloat(value) * 1000;
    else if (line && !line.startsWith('#')) {
      const start = time ?? parts[parts.length - 1]?.end ?? 0;
      parts.push({ url: absolute(line), start, end: start + length, init });
      time = null;
    }
  }
  return parts;
}
