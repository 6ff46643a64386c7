// The family of SAM's own image encoders, plain and with what BA-SAM's released code adds.
import type { EncoderFamily } from '../encoder';
import { attentionTraits, type ViTConfig } from './config';
import { vitGraph } from './encoder';
import { inferViT } from './infer';
import { namings } from './names';

export const vit: EncoderFamily<ViTConfig> = {
  namings,
  infer: inferViT,
  graph: vitGraph,
  attention: attentionTraits,
  early: ({ globalBlocks: [first], width }) =>
    first === undefined ? undefined : { tap: `block${first}`, channels: width },
  describe,
};

function describe(config: ViTConfig): [name: string, text: string][] {
  const { depth, width, heads, headDim, patch, globalBlocks, window, hasPosEmbed, hasCoefficient } = config;
  const blocks =
    globalBlocks.length > 0 ? `global in blocks ${globalBlocks.join(' ')}` : 'global in no block';
  const told = {
    depth:
      ' (assumed, the last of every quarter as in SAM: with a window as large as the trained grid no tensor tells; ' +
      '--global-blocks does)',
    option: ' (as the option says)',
  };
  const rows: [string, string][] = [
    ['encoder', `${depth} blocks, ${width} channels, ${heads} heads × ${headDim}, patch ${patch}`],
    [
      'attention',
      `${blocks}${config.globalBlocksFrom ? told[config.globalBlocksFrom] : ''}, otherwise windows of ${window} × ${window}`,
    ],
    ['positions', hasPosEmbed ? 'absolute and relative' : 'relative'],
  ];
  if (hasCoefficient) rows.push(['coefficient', 'learned, one per attention layer']);
  return rows;
}
