// What a hand does on a strip of time, told in words: a tap, a drag, a pinch, a turn of the wheel, a pointer that rests.

/** How far a pointer may move and still be a tap. */
const TAP_PIXELS = 5;
const PINCH_MIN = 24;

/**
 * Listens on `element` and calls of `on`: `tap(x, y, event)`, `drag(dx, x, event)` with `dragStart` and `dragEnd`, `zoom(factor,
 * x)`, `pan(dx)`, `hover(x, y, event)`, `leave()`. All in pixels from the element's edge.
 */
export function listen(element, on) {
  const pointers = new Map();
  let moved = false;
  let begun = null;

  const at = (event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  element.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    const place = at(event);
    pointers.set(event.pointerId, place);
    if (pointers.size === 1) {
      begun = place;
      moved = false;
      on.press?.(place.x, place.y, event);
    }
  });

  element.addEventListener('pointermove', (event) => {
    const place = at(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === 'mouse') on.hover?.(place.x, place.y, event);
      return;
    }
    if (!moved && Math.hypot(place.x - begun.x, place.y - begun.y) > TAP_PIXELS) {
      moved = true;
      // From here on the pointer is ours, also outside of the element.
      element.setPointerCapture(event.pointerId);
      on.dragStart?.(begun.x, event);
    }
    if (pointers.size === 2) {
      const other = [...pointers.entries()].find(([id]) => id !== event.pointerId)[1];
      const [was, is] = [Math.abs(before.x - other.x), Math.abs(place.x - other.x)];
      if (Math.max(was, is) > PINCH_MIN) on.zoom?.(Math.max(was, 1) / Math.max(is, 1), (place.x + other.x) / 2);
      on.pan?.((place.x - before.x) / 2);
    } else if (moved) {
      on.drag?.(place.x - before.x, place.x, event);
    }
    pointers.set(event.pointerId, place);
  });

  const up = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (pointers.size > 0) return;
    const place = at(event);
    if (moved) on.dragEnd?.(place.x, event);
    else if (event.type === 'pointerup') on.tap?.(place.x, place.y, event);
  };
  element.addEventListener('pointerup', up);
  element.addEventListener('pointercancel', up);
  element.addEventListener('pointerleave', (event) => {
    if (!pointers.has(event.pointerId)) on.leave?.();
  });

  element.addEventListener(
    'wheel',
    (event) => {
      const unit = event.deltaMode === 1 ? 16 : 1;
      const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
      event.preventDefault();
      if (event.shiftKey || Math.abs(dx) > Math.abs(dy)) on.pan?.(-(Math.abs(dx) > Math.abs(dy) ? dx : dy));
      else on.zoom?.(Math.exp(Math.max(-120, Math.min(120, dy)) * 0.0035), at(event).x);
    },
    { passive: false },
  );
}
