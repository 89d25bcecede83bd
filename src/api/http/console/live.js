// Live video: what the camera sends now, over a WebSocket. Text messages are events, binary ones segments: first an init segment,
// then fragments.

import { cameraUrl } from './requests.js';
import { fromText, SECOND } from './time.js';

const RETRY_MIN = SECOND;
const RETRY_MAX = 15 * SECOND;

export class LiveFeed {
  #screen;
  #camera;
  #stream;
  #hooks;
  #socket = null;
  #closed = false;
  #retry = RETRY_MIN;
  #timer = null;
  #origin = null;
  #runs = 0;
  #awaitsInit = false;

  /**
   * `hooks`: `frames(span)` after each fragment, `skipped(frames)`, `ended()`, `waiting()` while there is no connection,
   * `failed(error)`.
   */
  constructor(screen, { camera, stream, ...hooks }) {
    [this.#screen, this.#camera, this.#stream, this.#hooks] = [screen, camera, stream, hooks];
    this.#connect();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  #connect() {
    const url = new URL(cameraUrl(this.#camera, 'live', { stream: this.#stream === 'main' ? null : this.#stream }));
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    // Messages are worked on one after the other, in the order in which they came.
    let order = Promise.resolve();
    socket.addEventListener('message', (message) => {
      order = order.then(() => this.#take(message.data)).catch((error) => this.#fail(error));
    });
    socket.addEventListener('close', () => this.#again(socket));
  }

  #again(socket) {
    if (this.#closed || socket !== this.#socket) return;
    this.#hooks.waiting();
    this.#timer = setTimeout(() => this.#connect(), this.#retry);
    this.#retry = Math.min(RETRY_MAX, this.#retry * 2);
  }

  async #take(data) {
    if (this.#closed) return;
    if (typeof data === 'string') return this.#event(JSON.parse(data));
    if (this.#awaitsInit) {
      this.#awaitsInit = false;
      this.#runs += 1;
      // The name is new for each run and each connection, so that the screen takes the segment in.
      const taken = await this.#screen.putInit(`live ${this.#camera} ${this.#runs} ${Math.random()}`, data);
      if (!taken) throw new DOMException('another kind of recording', 'InvalidStateError');
      return undefined;
    }
    if (this.#origin === null) return undefined;
    const span = await this.#screen.putPart(data, { origin: this.#origin });
    if (span && !this.#closed) {
      this.#retry = RETRY_MIN;
      this.#hooks.frames(span);
    }
    return undefined;
  }

  #event(event) {
    if (event.type === 'run') {
      this.#origin = fromText(event.start) - event.media_start * 1000;
      this.#awaitsInit = true;
    } else if (event.type === 'skipped') {
      this.#hooks.skipped(event.frames);
    } else if (event.type === 'ended') {
      this.#hooks.ended();
    }
  }

  #fail(error) {
    if (this.#closed || error.name === 'AbortError') return;
    this.#hooks.failed(error);
  }
}
