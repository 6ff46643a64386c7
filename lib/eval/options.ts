// What an evaluation can be asked for, checked before anything is opened.
import path from 'node:path';
import { invalidArgument, SamError } from '../errors';
import { type CheckedOptions, type EvaluateOptions, evaluateSchema } from '../options/evaluate';
import { parse } from '../options/validate';
import { BUNDLED_MODEL } from '../sam';

/**
 * Checks options by themselves: nothing is opened.
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function checkOptions(options: EvaluateOptions): CheckedOptions {
  const given = parse(evaluateSchema, options, 'options');
  const checked: CheckedOptions = {
    ...given,
    model: given.model ?? BUNDLED_MODEL,
    device: typeof given.device === 'string' ? [given.device] : given.device,
    out: path.resolve(given.out),
  };
  const { dataset, root, workers, device: devices } = checked;
  if (typeof dataset === 'string' && root === undefined) {
    throw invalidArgument('options.root', 'folder of the dataset', root);
  }
  if (typeof dataset === 'object' && workers > 1) {
    throw refused('Expected a dataset by name with several workers: each of them opens it');
  }
  if (typeof dataset === 'object' && checked.exif !== 'apply') {
    throw refused('Expected a dataset by name with exif: one that is open was opened with its own');
  }
  if (typeof dataset === 'object' && checked.limitInputPixels !== undefined) {
    throw refused(
      'Expected a dataset by name with limitInputPixels: one that is open was opened with its own',
    );
  }
  if (devices.length > 1) {
    // Which worker takes which image is a matter of time, and must not show in the numbers.
    if (!devices.every((name) => name.startsWith('cuda'))) {
      throw refused(`Expected CUDA devices only in a list of several but received ${devices.join(', ')}`);
    }
    if (devices.length > workers) {
      throw refused(
        `Expected at least as many workers as devices (${devices.length}) but received ${workers}`,
      );
    }
  }
  return checked;
}

function refused(message: string): SamError {
  return new SamError('ERR_INVALID_ARGUMENT', message);
}
