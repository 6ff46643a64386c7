// Tells checkpoint formats apart by their first bytes, and names other kinds of file so that an error can say
// what was passed.
import type { CheckpointFile } from './file';

const HEAD_BYTES = 512;

/** [offset, magic bytes as a latin-1 string, what it is] */
const OTHERS: readonly (readonly [number, string, string])[] = [
  [0, 'GGUF', 'a GGUF file'],
  [0, 'lmgg', 'a GGML file'],
  [0, 'tjgg', 'a GGML file'],
  [0, '\x89HDF\r\n\x1a\n', 'an HDF5 file (Keras)'],
  [0, '\x89PNG\r\n\x1a\n', 'a PNG image'],
  [0, '\xff\xd8\xff', 'a JPEG image'],
  [0, 'GIF8', 'a GIF image'],
  [8, 'WEBP', 'a WebP image'],
  [0, '\x93NUMPY', 'a NumPy array file'],
  [4, 'TFL3', 'a TensorFlow Lite model'],
  [0, '\x1f\x8b', 'a gzip archive'],
  [0, '7z\xbc\xaf\x27\x1c', 'a 7-Zip archive'],
  [0, '\x28\xb5\x2f\xfd', 'a Zstandard archive'],
  [0, '\x7fELF', 'a program or shared library'],
  [0, '%PDF-', 'a PDF document'],
];

/** The pickled number 0x1950a86a20f9469cfc6c with which files of PyTorch before 1.6 start. */
const LEGACY_MAGIC = '\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19';

const CONVERT =
  'load it with PyTorch and save it again with torch.save, or save it with safetensors.torch.save_file';

/**
 * The format of an open file; an index names the files of a sharded checkpoint.
 *
 * @throws SamError ERR_CHECKPOINT naming what the file is instead
 */
export async function recognise(file: CheckpointFile): Promise<'safetensors' | 'pytorch-zip' | 'index'> {
  if (file.size === 0) throw file.error('is empty');
  const bytes = await file.read(0, Math.min(HEAD_BYTES, file.size));
  const head = Buffer.from(bytes.buffer).toString('latin1');

  // safetensors: a 64-bit header length, then '{'. A text that has '{' there has no four zero bytes before it.
  if (head[8] === '{' && head.startsWith('\0\0\0\0', 4)) return 'safetensors';
  if (head.startsWith('PK\x03\x04') || head.startsWith('PK\x05\x06')) return 'pytorch-zip';

  if (bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5) {
    if (head.startsWith(LEGACY_MAGIC, 2)) {
      throw file.error(
        `is in the format of PyTorch before 1.6 (a bare pickle, not a zip), which is not supported: ${CONVERT}`,
      );
    }
    throw file.error(`is a bare Python pickle, not a checkpoint of torch.save since PyTorch 1.6: ${CONVERT}`);
  }
  if (head.startsWith('ustar', 257)) {
    throw file.error(`is a tar archive, perhaps of a very old PyTorch, which is not supported: ${CONVERT}`);
  }
  for (const [offset, magic, what] of OTHERS) {
    if (head.startsWith(magic, offset)) throw unsupported(file, what);
  }
  if (head.startsWith('version https://git-lfs')) {
    throw file.error(
      'is a Git LFS pointer, not the file it points to: run "git lfs pull" or download the file',
    );
  }
  if (/^\s*<(!doctype html|html)/i.test(head)) {
    throw file.error('is an HTML page: the download went to a web page instead of the file');
  }
  // ONNX is protobuf: field 1 (IR version, a small number), then another length-delimited field.
  if (bytes[0] === 0x08 && bytes[1]! <= 0x20 && [0x12, 0x1a, 0x22, 0x3a].includes(bytes[2]!))
    throw unsupported(file, 'an ONNX model');
  if (/^\s*\{\s*["}]/.test(head)) return 'index';
  if (head[8] === '{') return 'safetensors';
  if (file.size < 9) throw file.error(`is too short to be a checkpoint (${file.size} bytes)`);
  throw file.error('is neither a safetensors file nor a PyTorch zip checkpoint');
}

function unsupported(file: CheckpointFile, what: string) {
  return file.error(`is ${what}; expected a safetensors file or a PyTorch checkpoint (.pt, .pth)`);
}
