// Before all tests, once: files run side by side, and each of them would build what it finds too old.
import { buildLibrary } from './library';

export default buildLibrary;
