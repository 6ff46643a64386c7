// The image encoder on the CPU against the float64 reference, in f32 and bf16.
import { native } from '../../lib/native';
import { encoderSuite } from '../support/encoder-suite';

encoderSuite({
  device: 'cpu',
  dtypes: native().info().bf16UnavailableReason ? ['f32'] : ['f32', 'bf16'],
  tolerance: { f32: 2e-4, half: 2e-2 },
});
