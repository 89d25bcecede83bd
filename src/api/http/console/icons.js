// Icons are symbols of the document; a button with one has words only for screen readers and its tooltip.

const SVG = 'http://www.w3.org/2000/svg';

export function icon(name) {
  const [picture, use] = ['svg', 'use'].map((tag) => document.createElementNS(SVG, tag));
  use.setAttribute('href', `#i-${name}`);
  picture.append(use);
  return picture;
}

/** A button with the icon `name`, the words `label`, that does `act`. */
export function iconButton(name, label, act) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'icon';
  button.dataset.label = label;
  button.append(icon(name));
  button.addEventListener('click', act);
  return button;
}
