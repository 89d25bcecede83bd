// The colours that are painted by hand, read from the sheet, so that light and dark are decided in one place.

const NAMES = [
  'text',
  'muted',
  'faint',
  'line',
  'panel',
  'row',
  'track',
  'run',
  'run-selected',
  'gap-camera',
  'gap-recorder',
  'gap-planned',
  'now',
  'head',
  'on-head',
  'mark',
  'lock',
];

const probe = document.createElement('i');
let colours = null;

/** The colours by name; cheap after the first call. */
export function palette() {
  if (!colours) {
    probe.hidden = true;
    document.body.append(probe);
    colours = Object.fromEntries(
      NAMES.map((name) => {
        probe.style.color = `var(--${name})`;
        return [name, getComputedStyle(probe).color];
      }),
    );
    probe.remove();
  }
  return colours;
}

/** Calls `changed` when the system or the operator goes from light to dark or back. */
export function onTheme(changed) {
  const again = () => {
    colours = null;
    changed();
  };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', again);
  new MutationObserver(again).observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
}
