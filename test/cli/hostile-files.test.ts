// Files that must be refused: damaged, hostile, of another kind or for another image. Exit code 2, one line, no file left.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { beforeAll, describe, it } from 'vitest';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors';
import { DEMO, GOLDEN, POINT, place, quiet, refused, STRIPED, temporaryFolder } from './run';

const folder = temporaryFolder();
const OUT = ['-o', 'new.png'];
const ENCODER = path.join(GOLDEN, 'd64.safetensors');

/** Refused by `segment` with a good image, prompt and output beside `args`. */
const segment = (args: readonly string[], message: RegExp) =>
  refused(['segment', DEMO, ...POINT, ...OUT, ...args], message, folder);
const encode = (args: readonly string[], message: RegExp) =>
  refused(['encode', DEMO, '-o', 'new.safetensors', ...args], message, folder);

describe('images', () => {
  beforeAll(async () => {
    const png = await sharp(DEMO).resize(64).png().toBuffer();
    place(folder, 'cut.png', png.subarray(0, png.length / 2));
    place(folder, 'text.png', 'not a picture\n');
    place(folder, 'empty.png', '');
    place(folder, 'vector.svg', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    place(folder, 'bomb.png', bomb());
    mkdirSync(path.join(folder, 'directory'));
    execFileSync('mkfifo', [path.join(folder, 'waiting.png')]);
  });

  it.concurrent.each([
    ['nothing.png', /Cannot read nothing\.png: no such file or directory/],
    ['directory', /Cannot read directory: it is a directory/],
    ['waiting.png', /Cannot read waiting\.png: it is not a regular file/],
    ['cut.png', /Cannot decode cut\.png/],
    ['text.png', /Cannot decode text\.png: expected JPEG, PNG/],
    ['empty.png', /Cannot decode empty\.png: it is empty/],
    ['vector.svg', /Cannot decode vector\.svg: expected JPEG, PNG/],
    ['bomb.png', /Cannot decode bomb\.png: 60000 × 60000 px exceeds/],
    // A name must not break the line, steer the terminal or read from right to left.
    [
      'a\nb\u001b[31m\u202egnp\u009b\u200e.png',
      /Cannot read a\\nb\\u001b\[31m\\u202egnp\\u009b\\u200e\.png: no such file/,
    ],
  ])('%j', async (file, message) => {
    await refused(['segment', file, ...POINT, ...OUT], message, folder);
    await refused(['encode', file, '-o', 'new.safetensors'], message, folder);
  });

  // A PNG that promises 60000 × 60000 px in 80 bytes.
  function bomb(): Buffer {
    const chunk = (type: string, data: Buffer) => {
      const body = Buffer.concat([Buffer.from(type), data]);
      let crc = -1;
      for (const byte of body) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
      }
      const length = Buffer.alloc(4);
      length.writeUInt32BE(data.length);
      const check = Buffer.alloc(4);
      check.writeInt32BE(~crc);
      return Buffer.concat([length, body, check]);
    };
    return Buffer.concat([
      Buffer.from('89504e470d0a1a0a', 'hex'),
      chunk('IHDR', Buffer.from('0000ea600000ea600802000000', 'hex')),
      chunk('IDAT', deflateSync(Buffer.alloc(64))),
      chunk('IEND', Buffer.alloc(0)),
    ]);
  }
});

describe('checkpoints', () => {
  beforeAll(() => {
    copyFileSync(DEMO, path.join(folder, 'picture.png'));
    place(folder, 'words.pth', 'these are words and no weights at all');
    const huge = Buffer.alloc(64, ' ');
    huge.writeBigUInt64LE(1n << 62n);
    huge.write('{', 8);
    place(folder, 'huge.safetensors', huge);
    // A bare pickle that would call os.system('true').
    place(folder, 'evil.pt', Buffer.from('\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.', 'latin1'));
  });

  it.concurrent.each([
    ['gone.pth', /gone\.pth: cannot be opened/],
    ['picture.png', /picture\.png: is a PNG image; expected a safetensors file or a PyTorch checkpoint/],
    ['words.pth', /words\.pth: is neither a safetensors file nor a PyTorch zip checkpoint/],
    ['huge.safetensors', /huge\.safetensors: .*header/],
    ['evil.pt', /evil\.pt: is a bare Python pickle/],
    ['directory', /directory: is a directory/],
    [path.join(GOLDEN, 'demo.expected.safetensors'), /holds no SAM image encoder/],
  ])('%s', async (model, message) => {
    await segment(['--model', model], message);
    await encode(['--model', model], message);
    await refused(['info', model], message, folder);
  });

  it('an encoder only cannot segment', () =>
    segment(
      ['--model', ENCODER],
      /d64\.safetensors: expected a mask decoder but found an image encoder only/,
    ));
});

describe('pixel values', () => {
  const write = (
    name: string,
    tensor: string,
    shape: number[],
    data: Float32Array | Uint8Array,
    dtype = 'f32',
  ) => writeSafetensors(path.join(folder, name), [{ name: tensor, dtype: dtype as 'f32', shape, data }]);

  beforeAll(async () => {
    await write('good.safetensors', 'pixel_values', [1, 3, 32, 32], new Float32Array(3072));
    await write('named.safetensors', 'pixels', [1, 3, 32, 32], new Float32Array(3072));
    await write('rank.safetensors', 'pixel_values', [3, 32, 32], new Float32Array(3072));
    await write('channels.safetensors', 'pixel_values', [1, 1, 32, 32], new Float32Array(1024));
    await write('patch.safetensors', 'pixel_values', [1, 3, 32, 40], new Float32Array(3840));
    await write('none.safetensors', 'pixel_values', [0, 3, 32, 32], new Float32Array(0));
    await write('half.safetensors', 'pixel_values', [1, 3, 32, 32], new Uint8Array(6144), 'f16');
    await write('nan.safetensors', 'pixel_values', [1, 3, 32, 32], new Float32Array(3072).fill(Number.NaN));
    place(folder, 'photo.safetensors', await sharp(DEMO).png().toBuffer());
  });

  it.concurrent.each([
    ['absent.safetensors', /absent\.safetensors: cannot be opened/],
    [
      'named.safetensors',
      /named\.safetensors: expected a tensor pixel_values \[B, 3, H, W\] but found pixels/,
    ],
    ['rank.safetensors', /expected pixel_values as f32 \[B, 3, H, W\] but found f32 \[3, 32, 32\]/],
    ['channels.safetensors', /expected pixel_values as f32 \[B, 3, H, W\] .* but found f32 \[1, 1, 32, 32\]/],
    ['patch.safetensors', /with H and W multiples of 16 but found f32 \[1, 3, 32, 40\]/],
    ['none.safetensors', /expected pixel_values .* but found f32 \[0, 3, 32, 32\]/],
    ['half.safetensors', /expected pixel_values as f32 .* but found f16/],
    ['nan.safetensors', /nan\.safetensors: expected finite values in pixel_values/],
    ['photo.safetensors', /photo\.safetensors: is a PNG image/],
  ])('%s', (file, message) => refused(['encode', file, '-o', 'new.safetensors'], message, folder));

  it('cannot be scaled', () =>
    refused(
      ['encode', 'good.safetensors', '-o', 'new.safetensors', '--longest-side', '64'],
      /Expected no --longest-side with pixel_values of 32 × 32 px, .* received 64/,
      folder,
    ));
});

describe('mask inputs', () => {
  const write = async (name: string, shape: number[], iou?: number[], value = 1) => {
    const elements = (dims: number[]) => dims.reduce((a, b) => a * b, 1);
    await writeSafetensors(path.join(folder, name), [
      { name: 'low_res_logits', dtype: 'f32', shape, data: new Float32Array(elements(shape)).fill(value) },
      ...(iou
        ? [
            {
              name: 'iou_predictions',
              dtype: 'f32' as const,
              shape: iou,
              data: new Float32Array(elements(iou)),
            },
          ]
        : []),
    ]);
  };

  beforeAll(async () => {
    await write('two.safetensors', [2, 1, 64, 64]);
    await write('grid.safetensors', [1, 1, 48, 64]);
    await write('unscored.safetensors', [1, 3, 64, 64]);
    await write('scored.safetensors', [1, 3, 64, 64], [1, 2]);
    await write('flat.safetensors', [64, 64]);
    await write('infinite.safetensors', [1, 1, 64, 64], undefined, Number.POSITIVE_INFINITY);
    await write('fits.safetensors', [1, 1, 64, 64]);
  });

  it.concurrent.each([
    ['two.safetensors', /two\.safetensors: expected low_res_logits of 1 prompt but found 2/],
    [
      'grid.safetensors',
      /expected low_res_logits of 64 × 64 for this image's grid of 16 × 16 tokens but found f32/,
    ],
    ['unscored.safetensors', /expected a tensor iou_predictions .* but found low_res_logits/],
    ['scored.safetensors', /expected iou_predictions of shape \[1, 3\] but found f32 \[1, 2\]/],
    ['flat.safetensors', /expected low_res_logits as f32 .* but found f32 \[64, 64\]/],
    ['infinite.safetensors', /expected finite values in low_res_logits/],
    ['good.safetensors', /expected a tensor low_res_logits .* but found pixel_values/],
    ['unknown.safetensors', /unknown\.safetensors: cannot be opened/],
    ['words.pth', /words\.pth: is neither/],
  ])('%s', (file, message) => segment(['--mask-input', file], message));

  it('must fit the number of boxes', () =>
    refused(
      ['segment', DEMO, ...STRIPED, ...STRIPED, ...OUT, '--mask-input', 'fits.safetensors'],
      /expected low_res_logits of 2 prompts but found 1/,
      folder,
    ));

  it('must fit the size', () =>
    segment(['--mask-input', 'fits.safetensors', '--no-pad'], /of 48 × 64 for this/));

  it('cannot be written over', () =>
    segment(
      ['--mask-input', 'fits.safetensors', '--low-res', 'fits.safetensors'],
      /Expected different files for --mask-input and --low-res/,
    ));
});

describe('embeddings', () => {
  beforeAll(async () => {
    await quiet(['encode', DEMO, '--longest-side', '128', '-o', 'padded.safetensors'], { cwd: folder });
    const other = place(folder, 'other.png', await sharp(DEMO).resize(100, 80).png().toBuffer());
    await quiet(['encode', other, '-o', 'other.safetensors'], { cwd: folder });
    await quiet(['encode', DEMO, '--model', ENCODER, '-o', 'd64.safetensors'], { cwd: folder });
    const batch = new Float32Array(2 * 3 * 32 * 32);
    await writeSafetensors(path.join(folder, 'batch-in.safetensors'), [
      { name: 'pixel_values', dtype: 'f32', shape: [2, 3, 32, 32], data: batch },
    ]);
    await quiet(['encode', 'batch-in.safetensors', '-o', 'batch.safetensors'], { cwd: folder });
  });

  it.concurrent.each([
    ['other.safetensors', [], /expected an embedding of an image of 768 × 576 px but found 100 × 80 px/],
    [
      'd64.safetensors',
      [],
      /d64\.safetensors: Expected 256 like the model's for embedding\.channels but received 32/,
    ],
    ['batch.safetensors', [], /batch\.safetensors: expected an embedding of one image but found 2/],
    ['good.safetensors', [], /expected a tensor image_embeddings but found pixel_values/],
    ['words.pth', [], /words\.pth: is neither/],
    ['directory', [], /directory: is a directory/],
    ['padded.safetensors', ['--longest-side', '256'], /made with --longest-side 256 but found 128/],
    ['padded.safetensors', ['--no-pad'], /made with --no-pad but found one padded to 128 × 128 px/],
    ['padded.safetensors', ['--dtype', 'bf16'], /made with --dtype bf16 but found f32/],
    [
      'padded.safetensors',
      ['--length-scale'],
      /made with the settings paper\/length-scale\/none but found paper\/plain/,
    ],
    ['padded.safetensors', ['--distance', 'manhattan'], /made with the settings paper\/plain\/manhattan/],
    ['padded.safetensors', ['--mode', 'released-code'], /made with the settings released-code/],
  ] as [string, string[], RegExp][])('%s %j', (file, args, message) =>
    segment(['--embedding', file, ...args], message),
  );
});
