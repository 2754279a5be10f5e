"use strict";
// Whatever scrolls by itself can be reached by keyboard.
const reach = () => {
  for (const part of document.querySelectorAll('div[role="main"] table, div[role="main"] pre, div[role="main"] pre code')) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
};
addEventListener("load", reach);
addEventListener("resize", reach);
