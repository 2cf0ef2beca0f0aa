// Drawing in planes: a plane is a Uint8Array (height * width), one value a pixel. Every function changes pixels by
// ``change(value) -> value`` and says what it may have touched as a rectangle [x0, y0, x1, y1), or null for nothing.
// Pixel (i, j) has its centre at (i + 0.5, j + 0.5), as everywhere in coarseparts.

/** How a part is drawn or erased in the values of a plane: exclusive parts are indices, overlapping ones bits. */
export function changing(overlapping, part, erase) {
  if (!overlapping) return erase || part === 0 ? () => 0 : () => part;
  const bit = part === 0 ? 255 : 1 << (part - 1);
  return erase || part === 0 ? (value) => value & ~bit : (value) => value | bit;
}

/** A round brush of ``radius`` pixels drawn from a to b, both [x, y]. */
export function stroke(plane, width, height, a, b, radius, change) {
  const bounds = clipped(
    [
      Math.min(a[0], b[0]) - radius,
      Math.min(a[1], b[1]) - radius,
      Math.max(a[0], b[0]) + radius,
      Math.max(a[1], b[1]) + radius,
    ],
    width,
    height,
  );
  if (!bounds) return null;
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = dx * dx + dy * dy;
  // Half a pixel's diagonal at least: the smallest brush still paints the pixel that it stands on.
  const reach = Math.max(radius, 0.71) ** 2;
  for (let y = bounds[1]; y < bounds[3]; y++) {
    for (let x = bounds[0]; x < bounds[2]; x++) {
      const [px, py] = [x + 0.5 - a[0], y + 0.5 - a[1]];
      const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      if ((px - t * dx) ** 2 + (py - t * dy) ** 2 > reach) continue;
      const at = y * width + x;
      plane[at] = change(plane[at]);
    }
  }
  return bounds;
}

/** A polygon ([[x, y], ...], closed by itself) filled by the even-odd rule: pixels whose centre lies inside. */
export function polygon(plane, width, height, points, change) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const bounds = clipped([Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)], width, height);
  if (!bounds) return null;
  for (let y = bounds[1]; y < bounds[3]; y++) {
    const cuts = crossings(points, y + 0.5);
    for (let i = 0; i + 1 < cuts.length; i += 2) {
      const last = Math.min(width, Math.ceil(cuts[i + 1] - 0.5));
      for (let x = Math.max(0, Math.ceil(cuts[i] - 0.5)); x < last; x++)
        plane[y * width + x] = change(plane[y * width + x]);
    }
  }
  return bounds;
}

function crossings(points, y) {
  const cuts = [];
  points.forEach(([x0, y0], i) => {
    const [x1, y1] = points[(i + 1) % points.length];
    if (y0 <= y !== y1 <= y) cuts.push(x0 + ((y - y0) / (y1 - y0)) * (x1 - x0));
  });
  return cuts.sort((a, b) => a - b);
}

/** The connected region (four neighbours) in which every pixel has the value of the one at [x, y]. */
export function flood(plane, width, height, [px, py], change) {
  const [x0, y0] = [Math.floor(px), Math.floor(py)];
  if (x0 < 0 || y0 < 0 || x0 >= width || y0 >= height) return null;
  const from = plane[y0 * width + x0];
  if (change(from) === from) return null;
  const to = change(from);
  const waiting = [y0 * width + x0];
  const bounds = [x0, y0, x0 + 1, y0 + 1];
  while (waiting.length) {
    const at = waiting.pop();
    if (plane[at] !== from) continue;
    const y = Math.floor(at / width);
    let [left, right] = [at, at + 1]; // the whole run of this row at once keeps the list of waiting pixels short
    while (left > y * width && plane[left - 1] === from) left--;
    while (right < (y + 1) * width && plane[right] === from) right++;
    plane.fill(to, left, right);
    grow(bounds, left - y * width, y, right - y * width, y + 1);
    for (const beside of [-width, width]) {
      if (left + beside < 0 || left + beside >= plane.length) continue;
      for (let i = left; i < right; i++) {
        if (plane[i + beside] === from && (i === left || plane[i + beside - 1] !== from)) waiting.push(i + beside);
      }
    }
  }
  return bounds;
}

function grow(bounds, x0, y0, x1, y1) {
  bounds[0] = Math.min(bounds[0], x0);
  bounds[1] = Math.min(bounds[1], y0);
  bounds[2] = Math.max(bounds[2], x1);
  bounds[3] = Math.max(bounds[3], y1);
}

/** The smallest rectangle that holds both; either may be null. */
export function union(a, b) {
  if (!a || !b) return a ?? b;
  const both = [...a];
  grow(both, ...b);
  return both;
}

/** The pixels of a rectangle, copied. */
export function cut(plane, width, [x0, y0, x1, y1]) {
  const pixels = new Uint8Array((x1 - x0) * (y1 - y0));
  for (let y = y0; y < y1; y++) pixels.set(plane.subarray(y * width + x0, y * width + x1), (y - y0) * (x1 - x0));
  return pixels;
}

/** Puts what ``cut`` copied back. */
export function paste(plane, width, [x0, y0, x1, y1], pixels) {
  for (let y = y0; y < y1; y++)
    plane.set(pixels.subarray((y - y0) * (x1 - x0), (y - y0 + 1) * (x1 - x0)), y * width + x0);
}

/** The smallest rectangle outside which two planes are the same; null where they are the same everywhere. */
export function difference(a, b, width, height) {
  let bounds = null;
  for (let y = 0; y < height; y++) {
    let [first, last] = [y * width, (y + 1) * width];
    while (first < last && a[first] === b[first]) first++;
    if (first === last) continue;
    while (a[last - 1] === b[last - 1]) last--;
    bounds = union(bounds, [first - y * width, y, last - y * width, y + 1]);
  }
  return bounds;
}

function clipped([x0, y0, x1, y1], width, height) {
  const bounds = [
    Math.max(0, Math.floor(x0)),
    Math.max(0, Math.floor(y0)),
    Math.min(width, Math.ceil(x1) + 1),
    Math.min(height, Math.ceil(y1) + 1),
  ];
  return bounds[0] < bounds[2] && bounds[1] < bounds[3] ? bounds : null;
}
