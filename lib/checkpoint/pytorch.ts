// Reads PyTorch zip checkpoints (torch.save since 1.6): a pickle that describes the tensors, and one archive
// entry for each storage.
import { describe, invalidArgument } from '../errors';
import { TimeSlice } from '../time-slice';
import type { Checkpoint, TensorInfo } from './checkpoint';
import { dtypeBits } from './dtype';
import type { CheckpointFile } from './file';
import { gather, isContiguous } from './gather';
import { MAX_PICKLE_BYTES, unpickle } from './pickle';
import { PickleError, type PickleValue, PyDict, PyList, PyTensor, PyTuple } from './pickle-values';
import { ZipArchive } from './zip';

const MAX_TENSORS = 100_000;
const MAX_DEPTH = 32;
const MAX_NAME_CHARACTERS = 1024;
/** Containers share parts in a pickle, so a small one can describe a tree of any size. */
const MAX_NODES = 5_000_000;
/**
 * Reading every tensor once may take so many times the bytes of the file. Tensors that share a storage count each for itself,
 * and a deflated storage, which is inflated whole for every tensor in it, counts whole: without this bound 380 kB can stand
 * for 151 GB. Tied weights, a second copy of the model in the wrapper and deflated zeros of an optimizer stay far below it.
 */
const MAX_EXPANSION = 16;
/** Small files need no bound: what they claim up to here is read in a moment. */
const MIN_CLAIM_BYTES = 64 * 1024 * 1024;

/** Lists the tensors of an open PyTorch zip checkpoint. The checkpoint owns the file from then on. */
export async function openPyTorchZip(file: CheckpointFile): Promise<Checkpoint> {
  const zip = await ZipArchive.open(file);
  const prefix = findPrefix(file, zip);
  await checkByteOrder(file, zip, prefix);
  const pickleBytes = zip.size(`${prefix}data.pkl`)!;
  if (!(pickleBytes <= MAX_PICKLE_BYTES)) {
    throw file.error(`data.pkl has ${pickleBytes} bytes; expected at most ${MAX_PICKLE_BYTES}`);
  }
  let views: Map<string, PyTensor>;
  try {
    views = await listTensors(await unpickle(await zip.read(`${prefix}data.pkl`)));
  } catch (error) {
    if (error instanceof PickleError) throw file.error(error.message);
    throw error;
  }
  const tensors = new Map<string, TensorInfo>();
  const maxBytes = Math.max(MIN_CLAIM_BYTES, MAX_EXPANSION * file.size);
  let claimed = 0;
  for (const [name, view] of views) {
    const { storage, dtype, shape, byteLength } = view;
    const entry = `${prefix}data/${storage.key}`;
    const stored = zip.size(entry);
    if (stored !== storage.byteLength) {
      throw file.error(
        `tensor ${describe(name)}: expected storage ${describe(`data/${storage.key}`)} of ${storage.byteLength} bytes ` +
          `but found ${stored === undefined ? 'none' : `${stored}`}`,
      );
    }
    claimed += zip.isDeflated(entry) ? stored : Math.max(byteLength, spanOf(view));
    if (!(claimed <= maxBytes)) {
      throw file.error(
        `expected tensors that take at most ${maxBytes} bytes to read, ${MAX_EXPANSION} times the file's ${file.size}, but ` +
          `found ${views.size} that take more: they share storages, or these are compressed beyond what weights can be. ` +
          'If you trust the file, load it with PyTorch and save copies of the tensors (tensor.clone())',
      );
    }
    tensors.set(name, { name, dtype, shape, byteLength });
  }

  return {
    path: file.path,
    files: [file.path],
    format: 'pytorch-zip',
    tensors,
    metadata: Object.create(null),
    async read(name) {
      const view = views.get(name);
      if (!view) throw invalidArgument('name', `a tensor of ${file.path}`, name);
      return readView(file, zip, prefix, view);
    },
    close: () => file.close(),
  };
}

async function readView(file: CheckpointFile, zip: ZipArchive, prefix: string, view: PyTensor) {
  const { storage, shape, strides, offset, byteLength } = view;
  const entry = `${prefix}data/${storage.key}`;
  const itemBytes = dtypeBits(view.dtype) / 8;
  if (isContiguous(shape, strides))
    return zip.read(entry, byteLength > 0 ? offset * itemBytes : 0, byteLength);
  // A transposed weight spans about its own size; only a thin slice of a large storage spans more.
  const source = await zip.read(entry, offset * itemBytes, spanOf(view));
  const target = file.allocate(byteLength);
  await gather(target, source, shape, strides, itemBytes);
  return target;
}

/** Bytes of the storage from a view's first element to its last. */
function spanOf({ dtype, shape, strides, byteLength }: PyTensor): number {
  if (byteLength === 0) return 0;
  let span = 1;
  for (let i = 0; i < shape.length; i++) span += (shape[i]! - 1) * strides[i]!;
  return (span * dtypeBits(dtype)) / 8;
}

/** The folder in the archive, with its slash: torch.save names it after the file. */
function findPrefix(file: CheckpointFile, zip: ZipArchive): string {
  const names = [...zip.names()];
  const pickles = names.filter((name) => /^[^/]*\/data\.pkl$/.test(name));
  if (pickles.length > 1) throw file.error('zip archive holds more than one checkpoint');
  const [pickle] = pickles;
  if (names.some((name) => /^[^/]*\/(constants\.pkl|code\/.*)$/.test(name))) {
    throw file.error(
      'is a TorchScript archive (torch.jit.save), which is not supported: save the state_dict of the model instead',
    );
  }
  if (pickle === undefined) {
    const what = names.some((name) => name.endsWith('.npy')) ? 'a NumPy archive (.npz)' : 'a zip archive';
    throw file.error(`is ${what}, but not a PyTorch checkpoint: it has no data.pkl`);
  }
  return pickle.slice(0, -'data.pkl'.length);
}

async function checkByteOrder(file: CheckpointFile, zip: ZipArchive, prefix: string): Promise<void> {
  const size = zip.size(`${prefix}byteorder`);
  if (size === undefined) return; // before PyTorch 2.1, when only little-endian machines wrote checkpoints
  const order = size <= 16 ? Buffer.from(await zip.read(`${prefix}byteorder`)).toString('latin1') : '';
  if (order === 'little') return;
  if (order === 'big') {
    throw file.error(
      'was saved on a big-endian machine, which is not supported: save it again on a little-endian one',
    );
  }
  throw file.error(`has an unknown byte order ${describe(order)}; expected little`);
}

interface Node {
  readonly value: PickleValue;
  readonly key: string;
  readonly parent: Node | undefined;
  readonly depth: number;
}

/** Every tensor in nested containers, in the file's order, named by its keys joined with dots. */
async function listTensors(root: PickleValue): Promise<Map<string, PyTensor>> {
  const tensors = new Map<string, PyTensor>();
  const slice = new TimeSlice();
  const todo: Node[] = [{ value: root, key: '', parent: undefined, depth: 0 }];
  let nodes = 0;
  for (let node = todo.pop(); node; node = todo.pop()) {
    const { value, depth } = node;
    if (value instanceof PyTensor) {
      const name = nodeName(node);
      if (tensors.has(name)) throw new PickleError(`two tensors are called ${describe(name)}`);
      if (!(tensors.size < MAX_TENSORS)) throw new PickleError(`more than ${MAX_TENSORS} tensors`);
      tensors.set(name, value);
    }
    nodes += 1 + sizeOf(value);
    if (!(nodes <= MAX_NODES)) throw new PickleError(`more than ${MAX_NODES} values in nested containers`);
    const children = childrenOf(value, node);
    if (children.length > 0 && !(depth < MAX_DEPTH)) {
      throw new PickleError(`containers are nested deeper than ${MAX_DEPTH}`);
    }
    for (let i = children.length - 1; i >= 0; i--) todo.push(children[i]!);
    if (slice.due()) await slice.next();
  }
  return tensors;
}

function sizeOf(value: PickleValue): number {
  if (value instanceof PyDict) return value.entries.size;
  return value instanceof PyList || value instanceof PyTuple ? value.items.length : 0;
}

function childrenOf(value: PickleValue, parent: Node): Node[] {
  const children: Node[] = [];
  const depth = parent.depth + 1;
  if (value instanceof PyDict) {
    for (const [key, child] of value.entries) {
      if (typeof key !== 'string' && typeof key !== 'number') continue;
      if (isBranch(child)) children.push({ value: child, key: String(key), parent, depth });
    }
  } else if (value instanceof PyList || value instanceof PyTuple) {
    // A log of losses can have a million numbers: they are passed over quickly.
    for (let i = 0; i < value.items.length; i++) {
      const child = value.items[i]!;
      if (isBranch(child)) children.push({ value: child, key: String(i), parent, depth });
    }
  }
  return children;
}

function isBranch(value: PickleValue): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return (
    value instanceof PyTensor ||
    value instanceof PyDict ||
    value instanceof PyList ||
    value instanceof PyTuple
  );
}

function nodeName(node: Node): string {
  const keys: string[] = [];
  let length = 0;
  for (let at: Node | undefined = node; at?.parent; at = at.parent) {
    length += at.key.length + 1;
    if (!(length <= MAX_NAME_CHARACTERS + 1)) {
      throw new PickleError(`the name of a tensor is longer than ${MAX_NAME_CHARACTERS} characters`);
    }
    keys.push(at.key);
  }
  return keys.reverse().join('.');
}
