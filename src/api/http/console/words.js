// Which language the page speaks, and its words. All texts are in words-en.js and words-vi.js, under the same keys.
//
// An element says which words it wants: `data-words` is its text, `data-label` its name for screen readers and its tooltip,
// `data-hint` its placeholder. The choice of language is kept in this browser; until there is one, the browser's own languages
// decide.

import en from './words-en.js';
import vi from './words-vi.js';

const LANGUAGES = { en, vi };
const KEPT = 'nvring.language';

let language = kept() ?? preferred();
const listeners = new Set();

function kept() {
  const value = remembered(KEPT);
  return value in LANGUAGES ? value : null;
}

function preferred() {
  const wanted = navigator.languages ?? [navigator.language];
  return wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in LANGUAGES) ?? 'en';
}

/** What this browser remembers under `key`; nothing where it may not. */
export function remembered(key) {
  try {
    return localStorage.getItem(key) ?? '';
  } catch {
    return '';
  }
}

/** Remembers `value`; a browser that refuses simply forgets. */
export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Private windows may have no storage; the choice then lasts as long as the page.
  }
}

/** The words under `key`, with `{name}` replaced. */
export function words(key, values = {}) {
  const text = LANGUAGES[language][key] ?? LANGUAGES.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Whether there are words under `key`. */
export function hasWords(key) {
  return key in LANGUAGES.en;
}

/** The language, as `Intl` wants it. British English writes 24 hours and the day first, as operators read them. */
export function locale() {
  return language === 'vi' ? 'vi-VN' : 'en-GB';
}

export function currentLanguage() {
  return language;
}

/** Calls `listener` whenever another language is chosen. */
export function onLanguage(listener) {
  listeners.add(listener);
}

export function setLanguage(next) {
  if (!(next in LANGUAGES)) return;
  language = next;
  remember(KEPT, next);
  translate(document);
  for (const listener of listeners) listener();
}

/** Puts the words of the language into everything under `root`. */
export function translate(root) {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll('[data-words]')) element.textContent = words(element.dataset.words);
  for (const element of root.querySelectorAll('[data-label]')) label(element, element.dataset.label);
  for (const element of root.querySelectorAll('[data-hint]')) element.placeholder = words(element.dataset.hint);
  for (const button of root.querySelectorAll('[data-language]')) {
    button.setAttribute('aria-pressed', String(button.dataset.language === language));
  }
}

/** Names `element` for screen readers, and for the pointer when it can be pressed; the key that does the same is added. */
export function label(element, key) {
  element.dataset.label = key;
  const text = words(key);
  element.setAttribute('aria-label', text);
  if (element.matches('button, a, select')) {
    const shortcut = element.dataset.key;
    element.title = shortcut ? `${text} (${shortcut})` : text;
  }
}
