// The help: keys, hands, colours, in one dialog.

import { iconButton } from './icons.js';
import { KEYS } from './keys.js';
import { translate, words } from './words.js';

const HANDS = ['click', 'axis', 'drag', 'wheel', 'shift'];
const COLOURS = ['run', 'camera', 'recorder', 'planned', 'now', 'lock'];

function element(tag, { text, className, ...data } = {}, ...children) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

function list(entries) {
  const rows = entries.flatMap(([left, right]) => [element('dt', {}, ...[left].flat()), element('dd', { text: right })]);
  return element('dl', {}, ...rows);
}

export function openHelp(dialog) {
  const keys = list(KEYS.map((key) => [key.shown.map((shown) => element('kbd', { text: shown })), words(key.words)]));
  const hands = list(HANDS.map((hand) => [words(`hand-${hand}`), words(`hand-${hand}-does`)]));
  const colours = list(COLOURS.map((colour) => [element('i', { className: 'swatch', colour }), words(`colour-${colour}`)]));
  const close = iconButton('close', 'close', () => dialog.close());
  close.classList.add('close');
  dialog.replaceChildren(
    close,
    element(
      'div',
      { className: 'help' },
      element('section', {}, element('h2', { text: words('keysTitle') }), keys),
      element(
        'section',
        {},
        element('h2', { text: words('handTitle') }),
        hands,
        element('h2', { text: words('coloursTitle') }),
        colours,
      ),
    ),
  );
  translate(dialog);
  if (!dialog.open) dialog.showModal();
}

/** A dialog closes at a click beside it. */
export function closeOutside(dialog) {
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
}
