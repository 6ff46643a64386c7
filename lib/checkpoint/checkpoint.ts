// Opens a checkpoint of any supported file format; the content decides which, never the file's name.
import type { CheckpointDType } from './dtype';
import { CheckpointFile, checkPath } from './file';
import { openPyTorchZip } from './pytorch';
import { openSafetensors } from './safetensors';
import { fileInFolder, openSharded } from './sharded';
import { recognise } from './sniff';

export type { CheckpointDType } from './dtype';

/** What a checkpoint says about one tensor. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: CheckpointDType;
  readonly shape: readonly number[];
  /** Bytes that `read` returns: the product of the shape times the element size. */
  readonly byteLength: number;
}

/** An open checkpoint: its list of tensors is in memory, their data stays in the file until read. */
export interface Checkpoint {
  readonly path: string;
  /** Every file of it: itself, or an index and what that names. */
  readonly files: readonly string[];
  /** Of its files. */
  readonly format: 'safetensors' | 'pytorch-zip';
  /** In the file's order. In a PyTorch file the names of nested dictionaries are joined with dots. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The safetensors header's `__metadata__`; empty for PyTorch files. It has no prototype. */
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * Reads one tensor: little-endian, contiguous, row-major, in a fresh buffer that the caller owns. Any number
   * of reads may run at once; the extra memory is about that of the tensors being read.
   *
   * @throws SamError ERR_INVALID_ARGUMENT (no such tensor), ERR_CHECKPOINT (damaged), ERR_IO,
   *   ERR_OUT_OF_MEMORY, ERR_DISPOSED (closed)
   */
  read(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Closes the file. Reads that have not finished reject with ERR_DISPOSED. Safe to call again. */
  close(): Promise<void>;
}

/**
 * Opens a safetensors file or a PyTorch zip checkpoint (`torch.save` since PyTorch 1.6) and lists its tensors. A checkpoint in
 * several files is opened by its index (`model.safetensors.index.json`) or by the folder that Hugging Face's `save_pretrained`
 * wrote. Nothing in a file is ever executed, and nothing but the list is read. The files stay open until `close`.
 *
 * @param path of the file, the index or the folder
 * @throws SamError ERR_INVALID_ARGUMENT, ERR_IO (cannot be opened or read), ERR_CHECKPOINT (damaged, hostile,
 *   or another kind of file, which is named when it is recognised)
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  checkPath(path);
  const file = await CheckpointFile.open(await fileInFolder(path));
  try {
    return (await recognise(file)) === 'index' ? await openSharded(file, openFile) : await openFile(file);
  } catch (error) {
    await file.close().catch(() => {});
    throw error;
  }
}

/**
 * The files of a checkpoint: itself, or an index and what that names.
 *
 * @throws SamError as {@link openCheckpoint}
 */
export async function checkpointFiles(path: string): Promise<readonly string[]> {
  const checkpoint = await openCheckpoint(path);
  await checkpoint.close();
  return checkpoint.files;
}

async function openFile(file: CheckpointFile): Promise<Checkpoint> {
  const format = await recognise(file);
  if (format === 'index') throw file.error('is an index where a part of the checkpoint should be');
  return format === 'safetensors' ? openSafetensors(file) : openPyTorchZip(file);
}
