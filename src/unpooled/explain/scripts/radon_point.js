'use strict';
// Four points in the plane, to drag or to move with arrow keys, with their Radon point and their mean.
(() => {
  const SVG = 'http://www.w3.org/2000/svg';
  const WIDTH = 10, HEIGHT = 7, EDGE = 0.3, STEP = 0.1, NAMES = 'ABCD';

  const make = (parent, tag, attributes, text = '') => {
    const found = parent.appendChild(document.createElementNS(SVG, tag));
    for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
    found.textContent = text;
    return found;
  };

  // Twice the area of a triangle, above zero if its corners go round against the clock.
  const area = (p, q, r) => (q[0] - p[0]) * (r[1] - p[1]) - (r[0] - p[0]) * (q[1] - p[1]);

  // Weights with sum 0 and weighted sum of the points 0: of each point, the area of the other three, signs alternating.
  const weights = (points) => points.map((_, i) => {
    const others = points.filter((_, k) => k !== i);
    return (i % 2 ? -1 : 1) * area(...others);
  });

  // The Radon point, and for each point its side: 1, -1, or 0 for neither.
  const radonPoint = (points) => {
    const found = weights(points);
    const most = Math.max(...found.map(Math.abs));
    const reach = Math.max(...points.flatMap((p) => points.map((q) => Math.hypot(p[0] - q[0], p[1] - q[1]))));
    if (most <= 1e-12 * reach * reach) return onALine(points);
    const sides = found.map((w) => (Math.abs(w) <= 1e-12 * most ? 0 : Math.sign(w)));
    const total = found.reduce((sum, w) => sum + Math.max(w, 0), 0);
    const mix = (axis) => found.reduce((sum, w, i) => sum + Math.max(w, 0) * points[i][axis], 0) / total;
    return { point: [mix(0), mix(1)], sides };
  };

  // All on one line: the second in its order lies between the first and the third, and there are other such splits.
  const onALine = (points) => {
    const order = [0, 1, 2, 3].sort((i, k) => points[i][0] - points[k][0] || points[i][1] - points[k][1]);
    const sides = [0, 0, 0, 0];
    sides[order[0]] = sides[order[2]] = 1;
    sides[order[1]] = -1;
    return { point: [...points[order[1]]], sides };
  };

  const words = (sides) => {
    const named = (side) => [...NAMES].filter((_, i) => sides[i] === side);
    const [some, others] = [named(1), named(-1)].sort((a, b) => a.length - b.length);
    if (some.length === 2 && others.length === 2) return `The lines ${some.join('')} and ${others.join('')} cross there.`;
    if (others.length === 3) return `${some[0]} lies inside the triangle ${others.join('')}, so it is ${some[0]} itself.`;
    if (others.length === 2) return `${some[0]} lies between ${others.join(' and ')}, so it is ${some[0]} itself.`;
    return `${some[0]} and ${others[0]} are at the same place.`;
  };

  const prepare = (figure) => {
    const start = JSON.parse(figure.querySelector('script[type="application/json"]').textContent).points;
    const points = start.map((p) => [...p]);
    const svg = document.createElementNS(SVG, 'svg');
    svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute('role', 'group');
    svg.setAttribute('aria-label', 'Four points that can be moved, their Radon point and their mean');
    svg.style.cssText = 'display:block;width:100%;max-width:46rem;border:1px solid var(--grid);font-size:.4px';
    figure.prepend(svg);
    const said = document.createElement('p');
    said.className = 'told';
    said.setAttribute('aria-live', 'polite');
    svg.after(said);
    const back = document.createElement('button');
    back.type = 'button';
    back.textContent = 'Back to the start';
    const row = document.createElement('div');
    row.className = 'control';
    row.append(back);
    said.after(row);

    const hulls = [1, -1].map((side, k) => make(svg, 'polygon', {
      fill: `var(--m${k + 1})`, 'fill-opacity': 0.18, stroke: `var(--m${k + 1})`, 'stroke-width': 0.05,
      'stroke-linejoin': 'round', 'data-side': side,
    }));
    const mean = make(svg, 'path', {
      d: 'M-.16-.16L.16.16M-.16.16L.16-.16', stroke: 'var(--muted)', 'stroke-width': 0.07, class: 'mean',
    });
    const meanLabel = make(svg, 'text', { fill: 'var(--muted)' }, 'mean');
    const handles = points.map((_, i) => {
      const handle = make(svg, 'g', { tabindex: 0, role: 'button', class: 'handle', 'data-point': NAMES[i] });
      handle.style.cssText = 'cursor:grab;outline:none'; // an outline would be as thick as the drawing is enlarged
      make(handle, 'circle', { r: 0.6, fill: 'transparent' });
      const ring = make(handle, 'circle', {
        r: 0.34, fill: 'none', stroke: 'var(--ink)', 'stroke-width': 0.07, visibility: 'hidden', class: 'ring',
      });
      handle.addEventListener('focus', () => ring.setAttribute('visibility', 'visible'));
      handle.addEventListener('blur', () => ring.setAttribute('visibility', 'hidden'));
      make(handle, 'circle', { r: 0.2, class: 'dot' });
      make(handle, 'text', { x: 0.28, y: -0.22, fill: 'var(--ink)' }, NAMES[i]);
      return handle;
    });
    const star = make(svg, 'path', {
      d: 'M0-.34L.1-.1.34 0 .1.1 0 .34-.1.1-.34 0-.1-.1Z', fill: 'var(--ink)', stroke: 'var(--paper)',
      'stroke-width': 0.04, class: 'radon', 'pointer-events': 'none',
    });

    const at = (node, [x, y]) => {
      node.setAttribute('transform', `translate(${x} ${HEIGHT - y})`);
      node.dataset.x = x;
      node.dataset.y = y;
    };
    const show = () => {
      const { point, sides } = radonPoint(points);
      const middle = [0, 1].map((axis) => points.reduce((sum, p) => sum + p[axis], 0) / points.length);
      hulls.forEach((hull, k) => {
        const corners = points.filter((_, i) => sides[i] === (k ? -1 : 1));
        hull.setAttribute('points', corners.map(([x, y]) => `${x},${HEIGHT - y}`).join(' '));
      });
      handles.forEach((handle, i) => {
        at(handle, points[i]);
        handle.setAttribute(
          'aria-label', `Point ${NAMES[i]} at ${points[i][0].toFixed(1)}, ${points[i][1].toFixed(1)}; arrow keys move it`,
        );
        handle.querySelector('.dot').setAttribute('fill', `var(--${sides[i] === 0 ? 'muted' : sides[i] > 0 ? 'm1' : 'm2'})`);
      });
      at(star, point);
      at(mean, middle);
      at(meanLabel, [middle[0] + 0.22, middle[1] + 0.16]);
      said.textContent = `Radon point (star): ${point[0].toFixed(2)}, ${point[1].toFixed(2)}. ${words(sides)} `
        + `Mean (cross): ${middle[0].toFixed(2)}, ${middle[1].toFixed(2)}.`;
    };
    const move = (i, [x, y]) => {
      points[i] = [Math.min(Math.max(x, EDGE), WIDTH - EDGE), Math.min(Math.max(y, EDGE), HEIGHT - EDGE)];
      show();
    };
    const place = (event) => {
      const seen = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      return [seen.x, HEIGHT - seen.y];
    };
    handles.forEach((handle, i) => {
      handle.addEventListener('pointerdown', (event) => {
        handle.setPointerCapture(event.pointerId);
        handle.focus({ preventScroll: true });
        event.preventDefault();
      });
      handle.addEventListener('pointermove', (event) => {
        if (handle.hasPointerCapture(event.pointerId)) move(i, place(event));
      });
      handle.addEventListener('keydown', (event) => {
        const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
        if (!way) return;
        event.preventDefault();
        const far = STEP * (event.shiftKey ? 10 : 1);
        move(i, [points[i][0] + far * way[0], points[i][1] + far * way[1]]);
      });
    });
    back.addEventListener('click', () => {
      start.forEach((p, i) => { points[i] = [...p]; });
      show();
    });
    figure.radonPoint = radonPoint;
    show();
  };
  for (const figure of document.querySelectorAll('[data-sketch="radon_point"]:not([data-ready])')) {
    figure.dataset.ready = '';
    prepare(figure);
  }
})();
