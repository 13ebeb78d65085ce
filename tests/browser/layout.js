// Returns the faults that a person would see in the layout of the page: text that is cut off, covered by something else,
// beyond the edge of the screen, or too small to read.
() => {
  const MARGIN = 1.5; // of rounding
  const SMALLEST_PX = 10;
  const ALIKE = "tbody tr:nth-child(n + 13)"; // more rows of a long table
  const REPLACED = "canvas, iframe, img, input, progress, select, svg, textarea, video";
  const faults = new Set();
  const styles = new Map();
  const measuring = document.createElement("canvas").getContext("2d");
  const everything = new CSSStyleSheet();
  everything.replaceSync("* { pointer-events: auto !important; scroll-behavior: auto !important }");

  function style(element) {
    if (!styles.has(element)) styles.set(element, getComputedStyle(element));
    return styles.get(element);
  }

  function report(fault, element, text) {
    faults.add(`${fault}: "${text.trim().slice(0, 60)}" in ${element.outerHTML.replace(/\s+/g, " ").slice(0, 160)}`);
  }

  function isVisible(element) {
    return element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  }

  function ancestors(element) {
    const found = [];
    for (let each = element; each && each !== document.documentElement; each = each.parentElement) found.push(each);
    return found;
  }

  // Each piece of text, as its element and its text node.
  function texts() {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim()) continue;
      if (element.closest(`script, style, noscript, select, textarea, svg, ${ALIKE}`)) continue;
      if (isVisible(element)) found.push([element, walker.currentNode]);
    }
    return found;
  }

  function boxes(node) {
    const range = document.createRange();
    range.selectNodeContents(node);
    return [...range.getClientRects()].filter((box) => box.width > 0 && box.height > 0);
  }

  // Returns the part of a box that its ancestors show, and whether one of them cuts off the rest for good.
  function clip(element, box) {
    let { left, right, top, bottom } = box;
    let isCut = false;
    for (const each of ancestors(element)) {
      const { overflowX, overflowY, display, textOverflow, webkitLineClamp, position } = style(each);
      if (display !== "inline" && display !== "contents" && (overflowX !== "visible" || overflowY !== "visible")) {
        const outer = each.getBoundingClientRect();
        if (outer.width <= 1 || outer.height <= 1) return null; // for screen readers only
        const isTold = textOverflow === "ellipsis" || webkitLineClamp !== "none";
        const isOver = (side, overflow) => side > MARGIN && /hidden|clip/.test(overflow) && !isTold;
        // A line is higher than its letters, by a fifth above and below.
        const leading = (bottom - top) / 5;
        isCut ||= isOver(Math.max(outer.left - left, right - outer.right), overflowX)
          || isOver(Math.max(outer.top - top, bottom - outer.bottom) - leading, overflowY);
        [left, right] = [Math.max(left, outer.left), Math.min(right, outer.right)];
        [top, bottom] = [Math.max(top, outer.top), Math.min(bottom, outer.bottom)];
        if (right - left < 1 || bottom - top < 1) return { isCut };
      }
      if (position === "fixed") break;
    }
    return { isCut, left, right, top, bottom };
  }

  function findCutText(element, node) {
    for (const box of boxes(node)) {
      const shown = clip(element, box);
      if (shown?.isCut) report("cut off", element, node.data);
      else if (shown?.left < -MARGIN || shown?.right > document.documentElement.clientWidth + MARGIN) {
        report("beyond the screen", element, node.data);
      }
    }
    const size = parseFloat(style(element).fontSize); // 0 hides text
    if (size > 0 && size < SMALLEST_PX) report("too small", element, node.data);
  }

  // Controls have no text nodes: their text is as wide as it would be drawn.
  function findCutControl(control) {
    const { font, paddingLeft, paddingRight, textOverflow } = style(control);
    const text = control.matches("select")
      ? control.selectedOptions[0]?.text
      : control.matches("[type=button], [type=submit]") ? control.value : !control.value && control.placeholder;
    if (!text || textOverflow === "ellipsis" || control.multiple) return;
    measuring.font = font;
    const room = control.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
    if (measuring.measureText(text).width > room + MARGIN) report("cut off", control, text);
  }

  // Scrolls what can be scrolled by people until the element is in the middle.
  function reveal(element) {
    for (const each of ancestors(element).slice(1)) {
      if (!/auto|scroll/.test(style(each).overflowX + style(each).overflowY)) continue;
      const [inner, outer] = [element.getBoundingClientRect(), each.getBoundingClientRect()];
      if (inner.left < outer.left || inner.right > outer.right) each.scrollLeft += inner.left - outer.left;
      if (inner.top < outer.top || inner.bottom > outer.bottom) each.scrollTop += inner.top - outer.top;
    }
    const box = element.getBoundingClientRect();
    if (box.top < innerHeight / 4 || box.bottom > innerHeight * 3 / 4) scrollBy(0, box.top - innerHeight / 2);
  }

  function paints(element, x, y) {
    const { backgroundColor, backgroundImage } = style(element);
    if (!isVisible(element)) return false;
    if (element.matches(REPLACED) || backgroundImage !== "none") return true;
    if (!/^(transparent|.*[,/] ?0)\)?$/.test(backgroundColor)) return true;
    return [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()
      && boxes(node).some((box) => x > box.left && x < box.right && y > box.top && y < box.bottom));
  }

  function cover(element, x, y) {
    for (const above of document.elementsFromPoint(x, y)) {
      if (above.contains(element) || element.contains(above)) return null;
      if (paints(above, x, y)) return above;
    }
    return null;
  }

  function findCovered(element, node) {
    reveal(element);
    for (const box of node ? boxes(node) : [element.getBoundingClientRect()]) {
      const shown = clip(element, box);
      if (shown?.left === undefined) continue;
      const middle = (shown.left + shown.right) / 2;
      for (const x of node ? [shown.left + 2, middle, shown.right - 2] : [middle]) {
        const above = cover(element, x, (shown.top + shown.bottom) / 2);
        if (!above) continue;
        report("covered", element, `${node?.data ?? element.tagName} by ${above.outerHTML.slice(0, 80)}`);
        return;
      }
    }
  }

  const found = texts();
  const controls = [...document.querySelectorAll("button, input, select, textarea, progress, canvas")]
    .filter((each) => isVisible(each) && !each.closest(ALIKE) && each.type !== "hidden" && each.offsetWidth > 1);
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) {
    report("wider than the screen", document.documentElement, `${document.documentElement.scrollWidth} px`);
  }
  found.forEach(([element, node]) => findCutText(element, node));
  controls.forEach(findCutControl);
  document.adoptedStyleSheets.push(everything);
  found.forEach(([element, node]) => findCovered(element, node));
  controls.forEach((control) => findCovered(control));
  document.adoptedStyleSheets.pop();
  scrollTo(0, 0);
  return [...faults];
}
