// MP4 boxes, as far as the player must know them: what an init segment says of its tracks, which frames a part holds and when
// they are shown, and single key frames as parts of their own. Numbers are big endian (ISO 14496-12); nothing past the end of a
// box is read.

const VISUAL_ENTRY = 78;
const AUDIO_ENTRY = 28;

/** The boxes between `from` and `to`: `{ kind, start, body, end }`. Stops at the first that does not fit. */
export function* boxes(view, from = 0, to = view.byteLength) {
  let at = from;
  while (at + 8 <= to) {
    let size = view.getUint32(at);
    let body = at + 8;
    if (size === 1 && at + 16 <= to) {
      size = Number(view.getBigUint64(at + 8));
      body = at + 16;
    } else if (size === 0) {
      size = to - at;
    }
    if (size < body - at || at + size > to) return;
    yield { kind: name(view, at + 4), start: at, body, end: at + size };
    at += size;
  }
}

function name(view, at) {
  return String.fromCharCode(view.getUint8(at), view.getUint8(at + 1), view.getUint8(at + 2), view.getUint8(at + 3));
}

/** The first box along `path`. */
function find(view, path, from = 0, to = view.byteLength) {
  let range = { body: from, end: to };
  for (const kind of path) {
    range = [...boxes(view, range.body, range.end)].find((box) => box.kind === kind);
    if (!range) return null;
  }
  return range;
}

const hex = (number, digits = 2) => number.toString(16).padStart(digits, '0');

/** The tracks of an init segment: `{ id, kind, codec, timescale, width, height }`; `kind` is `video`, `audio` or `other`. */
export function readInit(bytes) {
  const view = new DataView(bytes);
  const moov = find(view, ['moov']);
  if (!moov) return [];
  const tracks = [];
  for (const trak of boxes(view, moov.body, moov.end)) {
    if (trak.kind !== 'trak') continue;
    const inside = (path) => find(view, path, trak.body, trak.end);
    const [tkhd, mdhd, hdlr, stsd] = [['tkhd'], ['mdia', 'mdhd'], ['mdia', 'hdlr'], ['mdia', 'minf', 'stbl', 'stsd']].map(inside);
    if (!tkhd || !mdhd || !hdlr || !stsd) continue;
    const kind = { vide: 'video', soun: 'audio' }[name(view, hdlr.body + 8)] ?? 'other';
    const entry = boxes(view, stsd.body + 8, stsd.end).next().value;
    tracks.push({
      id: view.getUint32(tkhd.body + (view.getUint8(tkhd.body) === 1 ? 20 : 12)),
      timescale: view.getUint32(mdhd.body + (view.getUint8(mdhd.body) === 1 ? 20 : 12)),
      kind,
      codec: entry ? codec(view, entry, kind) : '',
      width: kind === 'video' && entry ? view.getUint16(entry.body + 24) : 0,
      height: kind === 'video' && entry ? view.getUint16(entry.body + 26) : 0,
    });
  }
  return tracks;
}

/** The codec as `isTypeSupported` wants it (RFC 6381, ISO 14496-15 annex E). */
function codec(view, entry, kind) {
  const children = [...boxes(view, entry.body + (kind === 'video' ? VISUAL_ENTRY : AUDIO_ENTRY), entry.end)];
  const child = (wanted) => children.find((box) => box.kind === wanted);
  if (child('avcC')) {
    const at = child('avcC').body;
    return `${entry.kind}.${[1, 2, 3].map((byte) => hex(view.getUint8(at + byte))).join('')}`;
  }
  if (child('hvcC')) return `${entry.kind}.${hevc(view, child('hvcC').body)}`;
  if (entry.kind === 'mp4a') return `mp4a.40.${child('esds') ? audioObject(view, child('esds')) : 2}`;
  if (entry.kind === 'Opus') return 'opus';
  return entry.kind;
}

function hevc(view, at) {
  const first = view.getUint8(at + 1);
  const space = ['', 'A', 'B', 'C'][first >> 6];
  let compatible = view.getUint32(at + 2);
  let reversed = 0;
  for (let bit = 0; bit < 32; bit += 1) {
    reversed = (reversed << 1) | (compatible & 1);
    compatible >>>= 1;
  }
  const constraints = [];
  for (let byte = 0; byte < 6; byte += 1) constraints.push(hex(view.getUint8(at + 6 + byte)));
  while (constraints.length && constraints[constraints.length - 1] === '00') constraints.pop();
  const tier = first & 0x20 ? 'H' : 'L';
  return [`${space}${first & 0x1f}`, (reversed >>> 0).toString(16), `${tier}${view.getUint8(at + 12)}`, ...constraints].join('.');
}

/** The audio object type of an `esds` (ISO 14496-1 §7.2.6): descriptors are tag, length in sevens of bits, content. */
function audioObject(view, esds) {
  let at = esds.body + 4;
  while (at + 2 < esds.end) {
    const tag = view.getUint8(at);
    at += 1;
    while (at < esds.end && view.getUint8(at) & 0x80) at += 1;
    at += 1;
    if (tag === 3) at += 3;
    else if (tag === 4) at += 13;
    else if (tag === 5 && at < esds.end) return view.getUint8(at) >> 3;
    else return 2;
  }
  return 2;
}

/** Hides all tracks but `kept` from a player: their boxes become `free`, so that no offset changes. Works on init segments and parts. */
export function hideTracks(bytes, kept) {
  const view = new DataView(bytes);
  const hide = (box) => view.setUint32(box.start + 4, 0x66726565);
  const id = (box, path, offset) => {
    const found = find(view, path, box.body, box.end);
    return found ? view.getUint32(found.body + offset(found)) : 0;
  };
  for (const outer of boxes(view)) {
    if (outer.kind !== 'moov' && outer.kind !== 'moof') continue;
    for (const box of boxes(view, outer.body, outer.end)) {
      if (box.kind === 'trak' && !kept.has(id(box, ['tkhd'], (found) => (view.getUint8(found.body) === 1 ? 20 : 12)))) hide(box);
      if (box.kind === 'traf' && !kept.has(id(box, ['tfhd'], () => 4))) hide(box);
      if (box.kind !== 'mvex') continue;
      for (const trex of boxes(view, box.body, box.end))
        if (trex.kind === 'trex' && !kept.has(view.getUint32(trex.body + 4))) hide(trex);
    }
  }
}

/** The frames of track `id` in a part: `{ time, duration, key, offset, size }`, times in units of the track, in the order of decoding. */
export function readFrames(bytes, id) {
  const view = new DataView(bytes);
  const frames = [];
  for (const moof of boxes(view)) {
    if (moof.kind !== 'moof') continue;
    for (const traf of boxes(view, moof.body, moof.end)) {
      if (traf.kind !== 'traf') continue;
      const header = find(view, ['tfhd'], traf.body, traf.end);
      if (!header || view.getUint32(header.body + 4) !== id) continue;
      frames.push(...fragmentFrames(view, moof, traf, header));
    }
  }
  return frames;
}

function fragmentFrames(view, moof, traf, header) {
  const given = readHeader(view, header);
  const times = find(view, ['tfdt'], traf.body, traf.end);
  let time = 0;
  if (times) time = view.getUint8(times.body) === 1 ? Number(view.getBigUint64(times.body + 4)) : view.getUint32(times.body + 4);
  const frames = [];
  for (const run of boxes(view, traf.body, traf.end)) {
    if (run.kind !== 'trun') continue;
    const flags = view.getUint32(run.body) & 0xffffff;
    const count = view.getUint32(run.body + 4);
    let at = run.body + 8;
    let offset = (given.base ?? moof.start) + (flags & 1 ? view.getInt32(at) : 0);
    if (flags & 1) at += 4;
    const first = flags & 4 ? view.getUint32(at) : null;
    if (flags & 4) at += 4;
    const next = (flag, other) => {
      if (!(flags & flag)) return other;
      at += 4;
      return view.getUint32(at - 4);
    };
    const width = [0x100, 0x200, 0x400, 0x800].filter((flag) => flags & flag).length * 4;
    for (let index = 0; index < count && at + width <= run.end; index += 1) {
      const length = next(0x100, given.duration);
      const size = next(0x200, given.size);
      const kind = next(0x400, index === 0 && first !== null ? first : given.flags);
      const shift = next(0x800, 0) | 0;
      frames.push({ time: time + shift, duration: length, key: !(kind & 0x10000), offset, size });
      time += length;
      offset += size;
    }
  }
  return frames;
}

function readHeader(view, header) {
  const flags = view.getUint32(header.body) & 0xffffff;
  let at = header.body + 8;
  const given = { base: null, duration: 0, size: 0, flags: 0 };
  if (flags & 1) {
    given.base = Number(view.getBigUint64(at));
    at += 8;
  }
  if (flags & 2) at += 4;
  for (const [flag, field] of [
    [8, 'duration'],
    [0x10, 'size'],
    [0x20, 'flags'],
  ]) {
    if (!(flags & flag)) continue;
    given[field] = view.getUint32(at);
    at += 4;
  }
  return given;
}

/** One key frame as a part: shown from `time` for `duration` (both in units of the track). */
export function keyFramePart({ track, time, duration, data }) {
  const moofSize = 8 + 16 + 8 + 16 + 20 + 32;
  const bytes = new Uint8Array(moofSize + 8 + data.byteLength);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const put = (number) => {
    view.setUint32(at, number);
    at += 4;
  };
  const box = (size, kind) => {
    put(size);
    for (const letter of kind) view.setUint8(at++, letter.charCodeAt(0));
  };
  box(moofSize, 'moof');
  box(16, 'mfhd');
  put(0);
  put(1);
  box(moofSize - 24, 'traf');
  box(16, 'tfhd');
  put(0x020000);
  put(track);
  box(20, 'tfdt');
  put(0x01000000);
  view.setBigUint64(at, BigInt(Math.round(time)));
  at += 8;
  box(32, 'trun');
  put(0x000701);
  put(1);
  put(moofSize + 8);
  put(Math.max(1, Math.round(duration)));
  put(data.byteLength);
  put(0x02000000);
  box(8 + data.byteLength, 'mdat');
  bytes.set(new Uint8Array(data), at);
  return bytes.buffer;
}
