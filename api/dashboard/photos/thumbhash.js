/**
 * Decodes a ThumbHash: about 25 bytes that encode a blurred image as the low frequencies of a DCT.
 *
 * Source: the format of https://evanw.github.io/thumbhash/ (luminance L, two chroma channels P and Q, alpha A;
 * each a constant term and the low frequencies of a DCT, quantised to four bits).
 */

const LONGEST_EDGE_PX = 32;

/** The image in `base64` as RGBA, its longer edge 32 px; `null` if it is not a ThumbHash. */
export function decodeThumbhash(base64) {
  const bytes = bytesOf(base64);
  return bytes && bytes.length >= 5 ? pixelsOf(readHeader(bytes), bytes) : null;
}

/** The average colour of the image in `base64`: red, green and blue from 0 to 255; `null` if it is not a ThumbHash. */
export function averageColour(base64) {
  const bytes = bytesOf(base64);
  if (!bytes || bytes.length < 5) return null;
  const { l, p, q } = readHeader(bytes);
  return rgbOf(l.mean, p.mean, q.mean).map((channel) => Math.round(Math.min(255, Math.max(0, 255 * channel))));
}

/** Red, green and blue of luminance, yellow to blue and red to green; a little out of 0 to 1 at times. */
function rgbOf(light, yellowBlue, redGreen) {
  const blue = light - (2 / 3) * yellowBlue;
  const red = (3 * light - blue + redGreen) / 2;
  return [red, red - redGreen, blue];
}

function bytesOf(base64) {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

function readHeader(bytes) {
  const first = bytes[0] | (bytes[1] << 8) | (bytes[2] << 16);
  const second = bytes[3] | (bytes[4] << 8);
  const hasAlpha = first >> 23 === 1;
  const isLandscape = second >> 15 === 1;
  const longTerms = hasAlpha ? 5 : 7;
  const columns = isLandscape ? longTerms : second & 7;
  const rows = isLandscape ? second & 7 : longTerms;
  return {
    hasAlpha,
    ratio: columns / rows || 1,
    columns: Math.max(3, columns),
    rows: Math.max(3, rows),
    l: { mean: (first & 63) / 63, scale: ((first >> 18) & 31) / 31 },
    // The format makes decoders scale chroma by 1.25, to make up for what quantising loses.
    p: { mean: ((first >> 6) & 63) / 31.5 - 1, scale: (((second >> 3) & 63) / 63) * 1.25 },
    q: { mean: ((first >> 12) & 63) / 31.5 - 1, scale: (((second >> 9) & 63) / 63) * 1.25 },
    a: hasAlpha ? { mean: (bytes[5] & 15) / 15, scale: (bytes[5] >> 4) / 15 } : { mean: 1, scale: 0 },
  };
}

function pixelsOf(header, bytes) {
  const nibbles = nibblesOf(bytes, header.hasAlpha ? 6 : 5);
  const l = readChannel(header.l, header.columns, header.rows, nibbles);
  const p = readChannel(header.p, 3, 3, nibbles);
  const q = readChannel(header.q, 3, 3, nibbles);
  const a = header.hasAlpha ? readChannel(header.a, 5, 5, nibbles) : () => 1;
  const width = Math.max(1, Math.round(header.ratio > 1 ? LONGEST_EDGE_PX : LONGEST_EDGE_PX * header.ratio));
  const height = Math.max(1, Math.round(header.ratio > 1 ? LONGEST_EDGE_PX / header.ratio : LONGEST_EDGE_PX));
  const across = cosines(width);
  const down = cosines(height);
  const rgba = new Uint8ClampedArray(width * height * 4);
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, at += 4) {
      const [red, green, blue] = rgbOf(l(across[x], down[y]), p(across[x], down[y]), q(across[x], down[y]));
      rgba[at] = 255 * red;
      rgba[at + 1] = 255 * green;
      rgba[at + 2] = 255 * blue;
      rgba[at + 3] = 255 * a(across[x], down[y]);
    }
  }
  return { width, height, rgba };
}

function* nibblesOf(bytes, start) {
  for (let at = start; at < bytes.length; at += 1) {
    yield bytes[at] & 15;
    yield bytes[at] >> 4;
  }
}

/** One channel as a function of the cosines at a column and at a row. Only terms with a low sum of frequencies are stored. */
function readChannel({ mean, scale }, columns, rows, nibbles) {
  const terms = [];
  for (let row = 0; row < rows; row += 1) {
    for (let column = row ? 0 : 1; column * rows < columns * (rows - row); column += 1) {
      const nibble = nibbles.next().value ?? 7.5;
      terms.push({ row, column, amplitude: (nibble / 7.5 - 1) * scale * 2 });
    }
  }
  return (across, down) => {
    let sum = mean;
    for (const { row, column, amplitude } of terms) sum += amplitude * across[column] * down[row];
    return sum;
  };
}

function cosines(length) {
  return Array.from({ length }, (_, at) =>
    Float64Array.from({ length: 8 }, (_, frequency) => Math.cos((Math.PI / length) * (at + 0.5) * frequency)));
}
