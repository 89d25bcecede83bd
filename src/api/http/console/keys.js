// The keyboard: which key does what. The help lists the same table.

/** Keys as they are shown, what they do (words), and the actions they call; `{ key, shift, action }` per press. */
export const KEYS = [
  { shown: ['Space', 'K'], words: 'key-space', presses: { ' ': 'toggle', k: 'toggle' } },
  { shown: ['←', '→'], words: 'key-arrows', presses: { ArrowLeft: 'back', ArrowRight: 'ahead' } },
  {
    shown: ['⇧ ←', '⇧ →'],
    words: 'key-shift-arrows',
    presses: { 'Shift+ArrowLeft': 'backMinute', 'Shift+ArrowRight': 'aheadMinute' },
  },
  { shown: [',', '.'], words: 'key-frames', presses: { ',': 'frameBack', '.': 'frameAhead' } },
  { shown: ['↑', '↓'], words: 'key-cameras', presses: { ArrowUp: 'cameraAbove', ArrowDown: 'cameraBelow' } },
  { shown: ['<', '>'], words: 'key-speed', presses: { '<': 'slower', '>': 'faster' } },
  { shown: ['L'], words: 'key-live', presses: { l: 'live' } },
  { shown: ['N', 'P'], words: 'key-gaps', presses: { n: 'gapAfter', p: 'gapBefore' } },
  { shown: ['I', 'O'], words: 'key-mark', presses: { i: 'markIn', o: 'markOut' } },
  { shown: ['D'], words: 'key-download', presses: { d: 'download' } },
  { shown: ['C'], words: 'key-copy', presses: { c: 'copy' } },
  { shown: ['G'], words: 'key-goto', presses: { g: 'goto' } },
  { shown: ['+', '−'], words: 'key-zoom', presses: { '+': 'zoomIn', '=': 'zoomIn', '-': 'zoomOut' } },
  { shown: ['Home', 'End'], words: 'key-ends', presses: { Home: 'first', End: 'live' } },
  { shown: ['/'], words: 'key-search', presses: { '/': 'search' } },
  { shown: ['F', 'M'], words: 'key-screen', presses: { f: 'fullscreen', m: 'mute' } },
  { shown: ['?'], words: 'key-help', presses: { '?': 'help' } },
];

const ACTIONS = Object.assign({}, ...KEYS.map((key) => key.presses));

/** Calls `actions[name]()` for each key of the table, unless something is being typed or a dialog is open. */
export function listenToKeys(actions) {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    const typing = event.target.closest('input, select, textarea');
    if (typing) {
      if (event.key === 'Escape') typing.blur();
      return;
    }
    // A focused button keeps the keys that press it, and the splitter those that move it.
    if (event.target.closest('button, a') && [' ', 'Enter'].includes(event.key)) return;
    if (event.target.closest('[role=separator]') && event.key.startsWith('Arrow')) return;
    const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = ACTIONS[event.shiftKey && letter.startsWith('Arrow') ? `Shift+${letter}` : letter];
    if (!action || !actions[action]) return;
    event.preventDefault();
    actions[action]();
  });
}
