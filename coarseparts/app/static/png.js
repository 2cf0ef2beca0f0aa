// Grey PNGs of 8 bits, read and written byte by byte: a canvas may change values (colour management, browsers that
// falsify what is read back), and a wrong value here would be a wrong label.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0;

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** plane: Uint8Array (height * width) of values 0..255 -> the bytes of its PNG. */
export async function encode(plane, width, height) {
  const rows = new Uint8Array((width + 1) * height); // a filter byte, 0 for none, before each row
  for (let y = 0; y < height; y++) rows.set(plane.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new Uint8Array(13);
  const numbers = new DataView(header.buffer);
  numbers.setUint32(0, width);
  numbers.setUint32(4, height);
  header.set([8, GREY, 0, 0, 0], 8);
  const data = await through(new CompressionStream("deflate"), rows);
  return joined([
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", header),
    chunk("IDAT", data),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

/** The bytes of a grey PNG of 8 bits -> {plane, width, height}. Throws where they are anything else. */
export async function decode(bytes) {
  if (!SIGNATURE.every((value, i) => bytes[i] === value)) throw new Error("what came is no PNG");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const [depth, colour, , , interlaced] = bytes.subarray(24, 29);
  if (depth !== 8 || colour !== GREY || interlaced) throw new Error("a grey PNG of 8 bits was expected");
  const parts = [];
  for (let at = 8; at + 8 <= bytes.length;) {
    const length = view.getUint32(at);
    if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === "IDAT")
      parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const rows = await through(new DecompressionStream("deflate"), joined(parts));
  if (rows.length !== (width + 1) * height) throw new Error("the PNG is cut short");
  return { plane: unfiltered(rows, width, height), width, height };
}

/** Bytes -> base64, in pieces that every browser takes as arguments. */
export function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

// PNG specification, section 9: each filter predicts a byte from those on its left (a), above (b) and above left (c).
function unfiltered(rows, width, height) {
  const plane = new Uint8Array(width * height);
  let above = new Uint8Array(width);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (width + 1)];
    const row = plane.subarray(y * width, (y + 1) * width);
    row.set(rows.subarray(y * (width + 1) + 1, (y + 1) * (width + 1)));
    if (filter === 1) for (let x = 1; x < width; x++) row[x] += row[x - 1];
    else if (filter === 2) for (let x = 0; x < width; x++) row[x] += above[x];
    else if (filter === 3) for (let x = 0; x < width; x++) row[x] += ((x ? row[x - 1] : 0) + above[x]) >> 1;
    else if (filter === 4) paeth(row, above, width);
    above = row;
  }
  return plane;
}

function paeth(row, above, width) {
  for (let x = 0, a = 0, c = 0; x < width; x++) {
    const b = above[x];
    const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
    row[x] += pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
    a = row[x];
    c = b;
  }
}

function chunk(name, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(
    [...name].map((c) => c.charCodeAt(0)),
    4,
  );
  bytes.set(data, 8);
  let crc = 0xffffffff;
  for (const byte of bytes.subarray(4, 8 + data.length)) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  view.setUint32(8 + data.length, ~crc >>> 0);
  return bytes;
}

function joined(arrays) {
  const all = new Uint8Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}

async function through(transform, bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(transform);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
