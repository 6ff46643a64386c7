// A process of the search.
import { evaluateScenes } from './search.mts';
import { servePart } from './worker.mts';

servePart(evaluateScenes);
