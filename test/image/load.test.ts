// Decoding: every format, orientation, depth and colour space, and files that are not what they say.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeImage } from '../../lib/image/load';
import type { ImageInput, RawImage } from '../../lib/image/types';
import { longestTurn } from '../support/event-loop';
import { expectSamError } from './helpers';

const W = 24;
const H = 16;
let dir: string;

/** A picture without symmetry: four quadrants of different colours on a 24 × 16 canvas. */
function quadrants(): Uint8Array {
  const data = new Uint8Array(W * H * 3);
  const colors = [
    [200, 40, 40],
    [40, 180, 60],
    [50, 60, 210],
    [220, 200, 60],
  ];
  for (let y = 0; y < H; y++) {
    for (let x = 0; x < W; x++) data.set(colors[(y < H / 2 ? 0 : 2) + (x < W / 2 ? 0 : 1)]!, 3 * (y * W + x));
  }
  return data;
}

const rgb = () => sharp(quadrants(), { raw: { width: W, height: H, channels: 3 } });

function largestDifference(a: Uint8Array, b: Uint8Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ba-sam-image-'));
});
afterAll(() => rm(dir, { recursive: true }));

describe('formats', () => {
  const lossless = {
    png: () => rgb().png(),
    'png, palette': () => rgb().png({ palette: true }),
    'webp, lossless': () => rgb().webp({ lossless: true }),
    'tiff, lzw': () => rgb().tiff({ compression: 'lzw' }),
    'tiff, none': () => rgb().tiff({ compression: 'none' }),
    gif: () => rgb().gif(),
  };
  for (const [name, make] of Object.entries(lossless)) {
    test(`${name}: the exact pixels`, async () => {
      const image = await decodeImage(await make().toBuffer());
      expect([image.width, image.height]).toEqual([W, H]);
      // A palette may round a colour.
      expect(largestDifference(image.data, quadrants())).toBeLessThanOrEqual(
        /palette|gif/.test(name) ? 4 : 0,
      );
    });
  }
  const lossy = {
    jpeg: () => rgb().jpeg({ quality: 95 }),
    'jpeg, progressive': () => rgb().jpeg({ quality: 95, progressive: true }),
    webp: () => rgb().webp({ quality: 95 }),
    'avif, 4:4:4': () => rgb().avif({ quality: 95, chromaSubsampling: '4:4:4' }),
    'tiff, jpeg': () => rgb().tiff({ compression: 'jpeg', quality: 95 }),
  };
  for (const [name, make] of Object.entries(lossy)) {
    test(`${name}: the colours of the quadrants`, async () => {
      const image = await decodeImage(await make().toBuffer());
      expect([image.width, image.height]).toEqual([W, H]);
      for (const [x, y] of [
        [3, 3],
        [20, 3],
        [3, 12],
        [20, 12],
      ] as const) {
        const p = 3 * (y * W + x);
        expect(largestDifference(image.data.subarray(p, p + 3), quadrants().subarray(p, p + 3))).toBeLessThan(
          16,
        );
      }
    });
  }

  test('path, file URL, Buffer, Uint8Array and ArrayBuffer give the same pixels', async () => {
    const bytes = await rgb().png().toBuffer();
    const path = join(dir, 'a picture # 1.png');
    await writeFile(path, bytes);
    const copy = new Uint8Array(bytes);
    for (const input of [path, pathToFileURL(path), bytes, copy, copy.buffer]) {
      expect(await decodeImage(input)).toMatchObject({ width: W, height: H });
      expect(Buffer.compare((await decodeImage(input)).data, quadrants())).toBe(0);
    }
  });

  test('a Blob and streams of Node.js and of the web give the same pixels', async () => {
    const bytes = await rgb().png().toBuffer();
    const halves = [bytes.subarray(0, 50), bytes.subarray(50)];
    const inputs: ImageInput[] = [
      new Blob(halves),
      new Blob(halves).stream() as ReadableStream<Uint8Array>,
      Readable.from(halves),
      (async function* () {
        yield* halves;
      })(),
    ];
    for (const input of inputs) expect(Buffer.compare((await decodeImage(input)).data, quadrants())).toBe(0);
  });

  test('the first bytes decide, not the extension', async () => {
    const path = join(dir, 'really-a-png.jpg');
    await writeFile(path, await rgb().png().toBuffer());
    expect(Buffer.compare((await decodeImage(path)).data, quadrants())).toBe(0);
  });

  test('an animation gives its first frame', async () => {
    const frames = Buffer.concat([quadrants(), new Uint8Array(W * H * 3)]);
    const gif = await sharp(frames, { raw: { width: W, height: 2 * H, channels: 3, pageHeight: H } })
      .gif()
      .toBuffer();
    expect((await sharp(gif).metadata()).pages).toBe(2);
    const image = await decodeImage(gif);
    expect([image.width, image.height]).toEqual([W, H]);
    expect(largestDifference(image.data, quadrants())).toBeLessThanOrEqual(4);
  });
});

describe('EXIF orientation', () => {
  // Where the stored picture's pixel (x, y) is shown, per EXIF 2.3 orientation value.
  const place: Record<number, (x: number, y: number) => [number, number]> = {
    1: (x, y) => [x, y],
    2: (x, y) => [W - 1 - x, y],
    3: (x, y) => [W - 1 - x, H - 1 - y],
    4: (x, y) => [x, H - 1 - y],
    5: (x, y) => [y, x],
    6: (x, y) => [H - 1 - y, x],
    7: (x, y) => [H - 1 - y, W - 1 - x],
    8: (x, y) => [y, W - 1 - x],
  };
  for (const orientation of [1, 2, 3, 4, 5, 6, 7, 8]) {
    for (const format of ['png', 'jpeg', 'webp', 'tiff'] as const) {
      test(`${orientation} in ${format}`, async () => {
        const options = format === 'webp' ? { lossless: true } : {};
        const encoded = await rgb().withMetadata({ orientation }).toFormat(format, options).toBuffer();
        expect((await sharp(encoded).metadata()).orientation).toBe(orientation);
        const stored = await sharp(encoded).raw().toBuffer();
        const image = await decodeImage(encoded);
        const [width, height] = orientation < 5 ? [W, H] : [H, W];
        expect([image.width, image.height]).toEqual([width, height]);
        const expected = new Uint8Array(W * H * 3);
        for (let y = 0; y < H; y++) {
          for (let x = 0; x < W; x++) {
            const [ox, oy] = place[orientation]!(x, y);
            expected.set(stored.subarray(3 * (y * W + x), 3 * (y * W + x) + 3), 3 * (oy * width! + ox));
          }
        }
        expect(Buffer.compare(image.data, expected)).toBe(0);
      });
    }
  }
});

describe('depth, alpha and colour spaces', () => {
  test('16-bit PNG: value >> 8', async () => {
    const values = Uint16Array.from([0, 255, 256, 511, 32768, 65279, 65280, 65535, 4660]);
    const png = await sharp(values, { raw: { width: 3, height: 1, channels: 3 } })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    expect((await sharp(png).metadata()).depth).toBe('ushort');
    expect([...(await decodeImage(png)).data]).toEqual([...values].map((v) => v >> 8));
  });

  test('16-bit gray PNG', async () => {
    const png = await sharp(Uint16Array.from([0, 4660, 65535]), { raw: { width: 3, height: 1, channels: 1 } })
      .toColourspace('grey16')
      .png()
      .toBuffer();
    expect((await sharp(png).metadata()).space).toBe('grey16');
    expect([...(await decodeImage(png)).data]).toEqual([0, 0, 0, 18, 18, 18, 255, 255, 255]);
  });

  test('gray JPEG and PNG are replicated', async () => {
    for (const format of ['jpeg', 'png'] as const) {
      const gray = await sharp(new Uint8Array(64).fill(90), { raw: { width: 8, height: 8, channels: 1 } })
        .toColourspace('b-w')
        .toFormat(format)
        .toBuffer();
      expect((await sharp(gray).metadata()).channels).toBe(1);
      expect(new Set((await decodeImage(gray)).data)).toEqual(new Set([90]));
    }
  });

  test('gray + alpha and RGBA: alpha is dropped, not composited', async () => {
    const ga = await sharp(Uint8Array.from([10, 0, 200, 128]), { raw: { width: 2, height: 1, channels: 2 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    expect((await sharp(ga).metadata()).channels).toBe(2);
    expect([...(await decodeImage(ga)).data]).toEqual([10, 10, 10, 200, 200, 200]);
    const rgba = await sharp(Uint8Array.from([1, 2, 3, 0, 4, 5, 6, 7]), {
      raw: { width: 2, height: 1, channels: 4 },
    })
      .png()
      .toBuffer();
    expect([...(await decodeImage(rgba)).data]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  for (const format of ['jpeg', 'tiff'] as const) {
    test(`CMYK ${format} becomes sRGB`, async () => {
      const cmyk = await rgb().toColourspace('cmyk').toFormat(format).toBuffer();
      expect((await sharp(cmyk).metadata()).space).toBe('cmyk');
      const image = await decodeImage(cmyk);
      expect([image.width, image.height]).toEqual([W, H]);
      const red = [...image.data.subarray(9, 12)];
      expect(red[0]).toBeGreaterThan(150);
      expect(red[1]).toBeLessThan(90);
      expect(red[2]).toBeLessThan(90);
    });
  }

  test('the ICC profile of an RGB image is ignored, as by PIL', async () => {
    const p3 = await rgb().withIccProfile('p3').png().toBuffer();
    expect((await sharp(p3).metadata()).hasProfile).toBe(true);
    const stored = await sharp(p3, { ignoreIcc: true }).raw().toBuffer();
    expect(largestDifference(stored, quadrants())).toBeGreaterThan(3);
    expect(Buffer.compare((await decodeImage(p3)).data, stored)).toBe(0);
  });
});

describe('what cannot be decoded', () => {
  const bad = (input: ImageInput, code: string, ...texts: string[]) =>
    expectSamError(decodeImage(input), code, ...texts);

  test('a truncated JPEG, PNG, WebP, TIFF, GIF or AVIF names the file and the reason', async () => {
    const noise = sharp({
      create: {
        width: 200,
        height: 200,
        channels: 3,
        background: 'black',
        noise: { type: 'gaussian', mean: 128, sigma: 50 },
      },
    });
    for (const format of ['jpeg', 'png', 'webp', 'tiff', 'gif', 'avif'] as const) {
      const whole = await noise.clone().toFormat(format).toBuffer();
      for (const part of [0.95, 0.5, 0.02]) {
        const path = join(dir, `truncated-${part}.${format}`);
        await writeFile(path, whole.subarray(0, Math.max(20, Math.floor(whole.length * part))));
        await bad(path, 'ERR_IMAGE', `Cannot decode ${path}: `);
      }
    }
  });

  test('a damaged PNG', async () => {
    const png = await rgb().png({ compressionLevel: 0 }).toBuffer();
    png[600]! ^= 0xff;
    await bad(png, 'ERR_IMAGE', 'Cannot decode the image buffer: ');
  });

  test('a page of HTML named .jpg', async () => {
    const path = join(dir, 'page.jpg');
    await writeFile(path, '<!DOCTYPE html><html><body>404 Not Found</body></html>');
    await bad(path, 'ERR_IMAGE', path, 'expected JPEG, PNG, WebP, TIFF, AVIF or GIF', '<!DOCTYPE html>');
  });

  test('SVG, PDF, text and random bytes', async () => {
    await bad(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'ERR_IMAGE', '<svg xmlns');
    await bad(Buffer.from('%PDF-1.7\n'), 'ERR_IMAGE', '%PDF');
    await bad(new Uint8Array([0, 1, 2, 254]), 'ERR_IMAGE', 'the bytes 00 01 02 fe');
    await bad(new Uint8Array([0xff]), 'ERR_IMAGE', 'the bytes ff');
  });

  test('empty buffers and files', async () => {
    await bad(Buffer.alloc(0), 'ERR_IMAGE', 'it is empty');
    await bad(new ArrayBuffer(0), 'ERR_IMAGE', 'it is empty');
    const path = join(dir, 'empty.png');
    await writeFile(path, '');
    await bad(path, 'ERR_IMAGE', `Cannot decode ${path}: it is empty`);
  });

  test('streams that fail, give something else, or never end', async () => {
    const failing = Readable.from(
      (async function* () {
        yield Buffer.from('\x89PNG');
        throw new Error('connection lost');
      })(),
    );
    await bad(failing, 'ERR_IO', 'Cannot read the image stream: connection lost');
    const locked = new ReadableStream<Uint8Array>();
    locked.getReader();
    await bad(locked, 'ERR_IO', 'Cannot read the image stream', 'locked');
    const broken = {
      stream() {
        throw new Error('no such blob');
      },
    };
    await bad(broken as never, 'ERR_IO', 'Cannot read the image stream: no such blob');
    await bad(
      Readable.from(['text']) as never,
      'ERR_INVALID_ARGUMENT',
      'Uint8Array for a piece of the image',
    );
    await bad(Readable.from([]), 'ERR_IMAGE', 'it is empty');
    const endless = Readable.from(
      (function* () {
        for (;;) yield new Uint8Array(2 ** 20);
      })(),
    );
    await expectSamError(
      decodeImage(endless, { limitInputPixels: 1 }),
      'ERR_IMAGE',
      'at most 67108872 bytes for limitInputPixels (1)',
    );
    expect(endless.destroyed).toBe(true);
    for (const silent of [new Readable({ read() {} }), new ReadableStream<Uint8Array>({})]) {
      const controller = new AbortController();
      const waiting = decodeImage(silent, { signal: controller.signal });
      setImmediate(() => controller.abort(new Error('enough')));
      await expect(waiting).rejects.toThrow('enough');
    }
  });

  test('missing files, directories and devices', async () => {
    await bad(join(dir, 'missing.png'), 'ERR_IO', 'missing.png: no such file or directory');
    await mkdir(join(dir, 'folder.png'));
    await bad(join(dir, 'folder.png'), 'ERR_IO', 'it is a directory');
    await bad('/dev/null', 'ERR_IO', 'not a regular file');
    const file = join(dir, 'plain.png');
    await writeFile(file, 'x');
    await bad(join(file, 'inside.png'), 'ERR_IO', 'not a directory');
  });

  test('too many pixels', async () => {
    const png = await rgb().png().toBuffer();
    const tooLarge = decodeImage(png, { limitInputPixels: W * H - 1 });
    await expectSamError(tooLarge, 'ERR_IMAGE', `${W} × ${H} px exceeds limitInputPixels (${W * H - 1})`);
    await expect(decodeImage(png, { limitInputPixels: W * H })).resolves.toMatchObject({ width: W });
    // A header that promises 60,000 × 60,000 pixels is refused before anything is allocated.
    png.writeUInt32BE(60_000, 16);
    png.writeUInt32BE(60_000, 20);
    png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
    await bad(png, 'ERR_IMAGE', '60000 × 60000 px exceeds limitInputPixels (134217728)');
    for (const limitInputPixels of [0, -1, 1.5, Number.NaN]) {
      await expectSamError(
        decodeImage(png, { limitInputPixels }),
        'ERR_INVALID_ARGUMENT',
        'options.limitInputPixels',
      );
    }
  });

  test('38 bytes of WebP that claim 268 million pixels', async () => {
    const webp = Buffer.from(
      '524946461e000000574542505650384c110000002ffebfff0f0750c00216b0ff8188e87f0000',
      'hex',
    );
    await bad(webp, 'ERR_IMAGE', '16383 × 16383 px exceeds limitInputPixels (134217728)');
  });

  test('a picture between the limits of AVIF and of the others', async () => {
    const avif = await rgb().avif().toBuffer();
    const size = avif.indexOf('ispe') + 8;
    avif.writeUInt32BE(16_384, size);
    avif.writeUInt32BE(4100, size + 4);
    await bad(avif, 'ERR_IMAGE', '16384 × 4100 px exceeds limitInputPixels (67108864)');
  });

  test('an aborted call rejects before one that decodes', async () => {
    const png = await sharp({ create: { width: 3000, height: 2000, channels: 3, background: 'blue' } })
      .png()
      .toBuffer();
    const controller = new AbortController();
    const order: string[] = [];
    const whole = decodeImage(png).then(() => order.push('decoded'));
    const aborted = decodeImage(png, { signal: controller.signal }).catch((error) => {
      order.push(error.message);
    });
    setImmediate(() => controller.abort(new Error('enough')));
    await Promise.all([whole, aborted]);
    expect(order).toEqual(['enough', 'decoded']);
    const { signal } = controller;
    await expect(decodeImage(png, { signal })).rejects.toThrow('enough');
  });

  test('inputs of another kind', async () => {
    for (const input of [
      undefined,
      null,
      5,
      true,
      {},
      [],
      '',
      'a\0b',
      new URL('https://example.com/a.png'),
    ]) {
      await bad(input as never, 'ERR_INVALID_ARGUMENT', 'for image but received');
    }
  });
});

function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}

describe('raw pixels', () => {
  test('three 8-bit channels are passed on without a copy', async () => {
    const data = quadrants();
    const image = await decodeImage({ data, width: W, height: H, channels: 3 });
    expect(image.data.buffer).toBe(data.buffer);
    const clamped = new Uint8ClampedArray(data);
    const same = await decodeImage({ data: clamped, width: W, height: H, channels: 3 });
    expect(same.data).toBeInstanceOf(Uint8Array);
    expect(same.data.buffer).toBe(clamped.buffer);
  });

  const cases: [string, RawImage, number[]][] = [
    ['gray', { data: new Uint8Array([7, 9]), width: 2, height: 1, channels: 1 }, [7, 7, 7, 9, 9, 9]],
    [
      'gray + alpha',
      { data: new Uint8Array([7, 0, 9, 255]), width: 1, height: 2, channels: 2 },
      [7, 7, 7, 9, 9, 9],
    ],
    [
      'RGBA, clamped',
      { data: new Uint8ClampedArray([1, 2, 3, 0, 4, 5, 6, 99]), width: 2, height: 1, channels: 4 },
      [1, 2, 3, 4, 5, 6],
    ],
    [
      '16-bit RGB',
      { data: new Uint16Array([0, 255, 256, 65535, 65279, 32768]), width: 2, height: 1, channels: 3 },
      [0, 0, 1, 255, 254, 128],
    ],
    ['16-bit gray', { data: new Uint16Array([4660]), width: 1, height: 1, channels: 1 }, [18, 18, 18]],
    [
      '16-bit RGBA',
      { data: new Uint16Array([256, 512, 768, 0]), width: 1, height: 1, channels: 4 },
      [1, 2, 3],
    ],
    ['16-bit gray + alpha', { data: new Uint16Array([256, 0]), width: 1, height: 1, channels: 2 }, [1, 1, 1]],
  ];
  for (const [name, input, expected] of cases) {
    test(name, async () => {
      const image = await decodeImage(input);
      expect([...image.data]).toEqual(expected);
      expect([image.width, image.height]).toEqual([input.width, input.height]);
    });
  }

  test('are RGB unless channels says otherwise, as decodeImage returns them', async () => {
    const decoded = await decodeImage({ data: quadrants(), width: W, height: H });
    expect(await decodeImage(decoded)).toEqual({ data: quadrants(), width: W, height: H });
  });

  test('of another realm, as Jest has them', async () => {
    const { small, pixels, file } = runInNewContext(
      '({ small: Uint16Array.of(4660), pixels: Uint8ClampedArray.of(1, 2, 3, 4), file: Uint8Array.from(bytes) })',
      { bytes: [...(await rgb().png().toBuffer())] },
    );
    const first = async (image: ImageInput) => [...(await decodeImage(image)).data.subarray(0, 3)];
    expect(await first({ data: small, width: 1, height: 1, channels: 1 })).toEqual([18, 18, 18]);
    expect(await first({ data: pixels, width: 1, height: 1, channels: 4 })).toEqual([1, 2, 3]);
    expect(await first(file)).toEqual([200, 40, 40]);
    expect(await first(Readable.from([file], { objectMode: true }))).toEqual([200, 40, 40]);
  });

  test('of an ImageData, whose fields are getters of its class', async () => {
    class ImageData {
      get data() {
        return new Uint8ClampedArray([1, 2, 3, 255]);
      }
      get width() {
        return 1;
      }
      get height() {
        return 1;
      }
      get channels() {
        return 4 as const;
      }
    }
    expect([...(await decodeImage(new ImageData())).data]).toEqual([1, 2, 3]);
  });

  test('a view into a larger buffer', async () => {
    const data = new Uint8Array([99, 99, 99, 5, 6]).subarray(3);
    expect([...(await decodeImage({ data, width: 2, height: 1, channels: 1 })).data]).toEqual([
      5, 5, 5, 6, 6, 6,
    ]);
  });

  test('wrong sizes, types and channels', async () => {
    const data = new Uint8Array(12);
    const bad = (image: object, ...texts: string[]) =>
      expectSamError(decodeImage(image as never), 'ERR_INVALID_ARGUMENT', ...texts);
    await bad(
      { data, width: 2, height: 3, channels: 3 },
      'Expected 18 values (2 x 3 x 3) for image.data but received 12',
    );
    await bad({ data, width: 0, height: 3, channels: 3 }, 'positive integer for image.width but received 0');
    await bad({ data, width: 4, height: 1.5, channels: 3 }, 'for image.height');
    await bad({ data, width: 4, height: 1, channels: 5 }, 'for image.channels');
    await bad(
      { data: new Float32Array(12), width: 4, height: 1, channels: 3 },
      'for image.data',
      'Float32Array',
    );
    await bad({ data: [1, 2, 3], width: 1, height: 1, channels: 3 }, 'for image.data');
    await expectSamError(
      decodeImage({ data, width: 4, height: 1, channels: 3 }, { limitInputPixels: 3 }),
      'ERR_IMAGE',
      'exceeds limitInputPixels (3)',
    );
  });

  test('large conversions leave the event loop alone', async () => {
    const data = new Uint8Array(6000 * 4000 * 4);
    const longest = await longestTurn(() => decodeImage({ data, width: 6000, height: 4000, channels: 4 }));
    expect(longest).toBeLessThan(0.3);
  });
});
