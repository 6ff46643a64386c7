// A process of the reported run.
import { measureScenes } from './run.mts';
import { servePart } from './worker.mts';

servePart(measureScenes);
