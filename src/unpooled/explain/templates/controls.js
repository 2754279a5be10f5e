'use strict';
// Sliders that choose one of several pictures, and buttons that play them. Without this, the first choice is shown.
(() => {
  const calm = window.matchMedia('(prefers-reduced-motion: reduce)');
  const prepare = (figure) => {
    const frames = [...figure.querySelectorAll('.frame')];
    const slider = figure.querySelector('input[type="range"]');
    const output = figure.querySelector('output');
    const button = figure.querySelector('button');
    const last = frames.length - 1;
    let timer = null;
    const show = (place) => {
      frames.forEach((frame, k) => { frame.hidden = k !== place; });
      slider.value = String(place);
      slider.setAttribute('aria-valuetext', frames[place].dataset.name);
      output.textContent = frames[place].dataset.name;
    };
    const say = () => { if (button) button.textContent = calm.matches ? 'Next' : timer === null ? 'Play' : 'Pause'; };
    const stop = () => { window.clearInterval(timer); timer = null; say(); };
    const next = () => {
      show(Number(slider.value) + 1);
      if (Number(slider.value) === last) stop();
    };
    slider.addEventListener('input', () => { stop(); show(Number(slider.value)); });
    button?.addEventListener('click', () => {
      if (timer !== null) { stop(); return; }
      if (Number(slider.value) === last) show(0);
      if (calm.matches) { next(); return; }
      timer = window.setInterval(next, Number(figure.dataset.pause));
      say();
    });
    calm.addEventListener('change', stop);
    say();
    figure.querySelector('.control').hidden = false;
  };
  for (const figure of document.querySelectorAll('figure.frames:not([data-ready])')) {
    figure.dataset.ready = '';
    prepare(figure);
  }
})();
