// What the page says over the picture: why there is none, and what can be done; and short messages that go by themselves.

import { clockTime, duration } from './time.js';
import { hasWords, words } from './words.js';

const TOAST = 3500;
/** A notice that waits only shows when the wait is long enough to be noticed. */
const PATIENCE = { loading: 350, retrying: 0 };

const NAMES = { avc1: 'H.264', avc3: 'H.264', hvc1: 'H.265', hev1: 'H.265' };

/** `hvc1.1.6.L93.b0` as people call it. */
export function codecName(codec) {
  const family = (codec ?? '').split('.')[0];
  return NAMES[family] ?? (family || 'video');
}

export function causeWords(cause) {
  return cause && hasWords(`cause-${cause}`) ? words(`cause-${cause}`) : '';
}

const sentence = (text) => (text && !/[.!?…]$/.test(text) ? `${text}.` : text);

export class Notices {
  #elements;
  #actions;
  #shown = null;
  #timer = null;
  #toastTimer = null;

  /** `elements`: box, spinner, title, text, actions, toast. `actions(name, values)` gives buttons: `[{ words, act }]`. */
  constructor(elements, actions) {
    [this.#elements, this.#actions] = [elements, actions];
  }

  get shown() {
    return this.#shown;
  }

  /** Shows the notice `name`, or none. The same one again changes nothing. */
  show(name, values = {}) {
    const same = name === this.#shown?.name && JSON.stringify(values) === JSON.stringify(this.#shown.values);
    if (same || (name === null && this.#shown === null)) return;
    clearTimeout(this.#timer);
    this.#shown = name === null ? null : { name, values };
    if (name === null) {
      this.#elements.box.hidden = true;
    } else if (PATIENCE[name] && this.#elements.box.hidden) {
      this.#timer = setTimeout(() => this.draw(), PATIENCE[name]);
    } else {
      this.draw();
    }
  }

  /** Paints it again, in the language of now. */
  draw() {
    const { box, spinner, title, text, actions } = this.#elements;
    if (!this.#shown) return;
    const { name, values } = this.#shown;
    const said = this.#said(name, values);
    title.textContent = words(`${name}Title`, said);
    text.textContent = hasWords(`${name}Text`) ? words(`${name}Text`, said).trim() : '';
    spinner.hidden = !['loading', 'reconnecting', 'retrying'].includes(name);
    box.dataset.kind = name;
    actions.replaceChildren(...this.#actions(name, values).map((action) => button(action)));
    box.hidden = false;
  }

  #said(name, values) {
    if (name === 'gap') {
      const cause = causeWords(values.cause) || words('nothing');
      return { length: duration(values.to - values.from), cause, time: clockTime(values.to) };
    }
    if (name === 'silent')
      return { time: values.since ? clockTime(values.since) : '–', cause: sentence(causeWords(values.cause)) };
    if (name === 'end') return { time: clockTime(values.time) };
    if (name === 'unsupported') return { codec: codecName(values.codec) };
    if (values.error) return { detail: values.error.status === 0 ? words('offline') : values.error.message };
    return values;
  }

  /** A short message. */
  toast(name, values = {}) {
    const { toast } = this.#elements;
    toast.textContent = words(name, values);
    toast.hidden = false;
    clearTimeout(this.#toastTimer);
    this.#toastTimer = setTimeout(() => {
      toast.hidden = true;
    }, TOAST);
  }
}

function button({ words: key, act, href }) {
  const element = document.createElement(href ? 'a' : 'button');
  if (href) {
    element.href = href;
    element.download = '';
    element.className = 'button';
  } else {
    element.type = 'button';
    element.addEventListener('click', act);
  }
  element.textContent = words(key);
  return element;
}
