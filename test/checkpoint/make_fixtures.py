"""Writes the checkpoint fixtures with real PyTorch, safetensors and transformers, and checks the Hugging Face key
mapping against the reference implementation: both must give the same embedding and masks.

    python test/checkpoint/make_fixtures.py PATH/TO/basam_ref.py PATH/TO/sam-hq

The second is a checkout of the repository of SAM-HQ. Needs torch, safetensors and transformers; run by hand when a fixture has to change. Tests need no Python."""
import argparse, collections, datetime, decimal, fractions, functools, importlib.util, io, json, os, pathlib, pickle, re, sys, types, uuid, zipfile
import numpy as np
import torch
import safetensors.torch
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig, SamVisionModel

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fixtures')


def path(name): return os.path.join(HERE, name)


def fix_zip(name, compression=zipfile.ZIP_STORED):
    """The same archive without time stamps, so that running this twice changes nothing."""
    with zipfile.ZipFile(path(name)) as z: entries = [(i.filename, z.read(i)) for i in z.infolist()]
    with zipfile.ZipFile(path(name), 'w', compression) as z:
        for filename, data in entries:
            info = zipfile.ZipInfo(filename); info.compress_type = compression
            z.writestr(info, data)


# ---------------------------------------------------------------- containers and dtypes
def some_tensors():
    base = torch.arange(24, dtype=torch.float32)
    return collections.OrderedDict(
        f32=base.reshape(2, 3, 4), f16=torch.tensor([1.0, -2.0, 65504.0], dtype=torch.float16),
        bf16=torch.tensor([1.0, -3.0], dtype=torch.bfloat16), f64=torch.tensor([[0.5]], dtype=torch.float64),
        i64=torch.tensor([-1, 2**40]), i32=torch.tensor([-5], dtype=torch.int32), i16=torch.tensor([-300], dtype=torch.int16),
        i8=torch.tensor([-7], dtype=torch.int8), u8=torch.tensor([200, 1], dtype=torch.uint8), bool=torch.tensor([True, False]),
        u16=torch.tensor([65535], dtype=torch.uint16), f8_e4m3=torch.tensor([1.5], dtype=torch.float8_e4m3fn),
        c64=torch.tensor([1 + 2j], dtype=torch.complex64), scalar=torch.tensor(3.5), empty=torch.zeros(0, 4))


def views():
    base = torch.arange(24, dtype=torch.float32)
    wide = torch.arange(6, dtype=torch.float64)
    return collections.OrderedDict(
        offset=base[5:9], transposed=base.reshape(4, 6).t(), permuted=base.reshape(2, 3, 4).permute(2, 0, 1),
        column=base.reshape(4, 6)[:, 2], step=base[1::3], f64=wide.reshape(2, 3).t(), f16=base.half().reshape(4, 6).t(),
        u8=base.to(torch.uint8).reshape(4, 6).t(), c128=torch.arange(4.).to(torch.complex128).reshape(2, 2).t(),
        parameter=torch.nn.Parameter(base.reshape(2, 12)), one=base.reshape(24, 1)[3:4].expand(1, 1))


def write_containers():
    tree = {'epoch': 7, 'lr': 1e-4, 'name': 'run', 'none': None, 'flags': [True, False], 'big': 2**70, 'bytes': b'abc',
            'size': torch.Size([2, 3]), 'dtype': torch.float16, 'device': torch.device('cpu'), 'set': {1, 2},
            'state_dict': some_tensors(), 'nested': [{'w': torch.ones(2)}, (torch.zeros(1), 'x')],
            'optimizer': {'state': {0: {'exp_avg': torch.full((2,), 0.25)}}, 'param_groups': [{'params': [0], 'betas': (0.9, 0.99)}]},
            '__proto__': {'polluted': torch.ones(1)}}
    for protocol in (2, 4, 5):
        torch.save(tree, path(f'containers-p{protocol}.pt'), pickle_protocol=protocol)
        fix_zip(f'containers-p{protocol}.pt')
    torch.save(views(), path('views.pt')); fix_zip('views.pt')
    torch.save(views(), path('views-deflated.pt')); fix_zip('views-deflated.pt', zipfile.ZIP_DEFLATED)
    # As torch.save writes it, padding and data descriptors included.
    torch.save({'a': torch.arange(3.), 'b': torch.arange(4.).half()}, path('torch-save.pt'))
    torch.save({'a': torch.arange(3.)}, path('legacy.pth'), _use_new_zipfile_serialization=False)
    module = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    torch.jit.save(module, path('torchscript.pt')); fix_zip('torchscript.pt')
    torch.save({'args': argparse.Namespace(lr=1), 'model': {'w': torch.ones(1)}}, path('namespace.pth')); fix_zip('namespace.pth')

    class Evil:
        def __reduce__(self): return os.system, ('touch /tmp/ba-sam-was-here',)
    torch.save({'model': {'w': torch.ones(1)}, 'x': Evil()}, path('evil.pth')); fix_zip('evil.pth')
    state = {k: v.contiguous() for k, v in some_tensors().items()}
    safetensors.torch.save_file(state, path('dtypes.safetensors'), {'about': 'every "dtype"'})
    expected = {}
    for name, t in {**{f's/{k}': v for k, v in some_tensors().items()}, **{f'v/{k}': v.detach() for k, v in views().items()}}.items():
        raw = bytes(t.contiguous().reshape(-1).view(torch.uint8).tolist()) if t.numel() else b''
        expected[name] = {'shape': list(t.shape), 'hex': raw.hex()}
    with open(path('expected.json'), 'w') as f: json.dump(expected, f, indent=0)


class Options(collections.OrderedDict):
    pass


class AttributeDict(dict):
    def __getattr__(self, name): return self[name]


def write_objects():
    """What people keep beside their weights, and a model that was saved whole."""
    options = AttributeDict(lr=1e-4, sub=AttributeDict(depth=2)); options.seen = True
    losses = collections.defaultdict(list, train=[np.float64(0.5), 0.25]); counts = collections.defaultdict(int, a=1)
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5)
    attributed = torch.ones(2); attributed.note = 'x'
    tree = {'model': Options(w=torch.arange(2.), b=torch.zeros(1)), 'args': argparse.Namespace(lr=1, path=pathlib.PosixPath('/a/b')), 'options': options,
            'paths': [pathlib.PurePosixPath('c'), pathlib.PureWindowsPath('d\\e')], 'losses': losses, 'counts': counts, 'nested': collections.defaultdict(dict, x={'t': torch.ones(1)}),
            'counter': collections.Counter('abca'), 'last': collections.deque([1.5, torch.ones(1)], maxlen=3),
            'times': [moment, moment.date(), moment.time(), moment - moment, moment.replace(tzinfo=datetime.timezone.utc)],
            'scalars': [np.float64(1.5), np.float32(2), np.int64(3), np.bool_(True), np.str_('s'), np.datetime64('2026-01-02')],
            'arrays': [np.arange(6.).reshape(2, 3), np.array(['a', None], dtype=object), np.zeros(0), np.float16, np.dtype('int8')],
            'random': [np.random.get_state(), np.random.default_rng(1), np.random.RandomState(1)],
            'others': [decimal.Decimal('1.5'), fractions.Fraction(1, 3), uuid.UUID(int=1), 1 + 2j, range(3), slice(1, 2), ..., types.SimpleNamespace(a=1)],
            'torch': [torch.__version__, torch.float16, torch.device('cpu'), torch.strided, attributed], 'keys': {np.int64(1): 'a', pathlib.PosixPath('p'): 'b'}}
    for protocol in (2, 4, 5):
        torch.save(tree, path(f'objects-p{protocol}.pt'), pickle_protocol=protocol)
        fix_zip(f'objects-p{protocol}.pt', zipfile.ZIP_DEFLATED)
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), path('whole-model.pt')); fix_zip('whole-model.pt', zipfile.ZIP_DEFLATED)


# ---------------------------------------------------------------- models
def official(key):
    """Hugging Face SamModel key -> official SAM key; written independently of lib/checkpoint/keys.ts"""
    if key.endswith('positional_embedding'): return 'prompt_encoder.pe_layer.positional_encoding_gaussian_matrix'
    if key.startswith('vision_encoder.'):
        key = 'image_encoder.' + key[len('vision_encoder.'):]
        key = key.replace('.layers.', '.blocks.').replace('patch_embed.projection', 'patch_embed.proj')
        for old, new in (('neck.conv1', 'neck.0'), ('neck.layer_norm1', 'neck.1'), ('neck.conv2', 'neck.2'), ('neck.layer_norm2', 'neck.3')):
            key = key.replace(old, new)
        return key.replace('layer_norm', 'norm')
    key = key.replace('point_embed.', 'point_embeddings.').replace('not_a_point_embeddings', 'not_a_point_embed')
    for old, new in (('conv1', '0'), ('layer_norm1', '1'), ('conv2', '3'), ('layer_norm2', '4'), ('conv3', '6')):
        key = key.replace(f'mask_embed.{old}', f'mask_downscaling.{new}')
    key = key.replace('upscale_conv1', 'output_upscaling.0').replace('upscale_layer_norm', 'output_upscaling.1').replace('upscale_conv2', 'output_upscaling.3')
    key = key.replace('layer_norm_final_attn', 'norm_final_attn').replace('layer_norm', 'norm')
    if 'mlps' in key or 'iou_prediction_head' in key:
        key = re.sub(r'layers\.(\d)', lambda m: f'layers.{int(m[1]) + 1}', key).replace('proj_in', 'layers.0').replace('proj_out', 'layers.2')
    return key


def tiny_sam():
    torch.manual_seed(1)
    model = SamModel(SamConfig(
        vision_config=SamVisionConfig(hidden_size=16, output_channels=16, num_hidden_layers=2, num_attention_heads=2, image_size=20,
                                      patch_size=4, window_size=3, global_attn_indexes=[1], num_pos_feats=8, mlp_dim=24),
        prompt_encoder_config=SamPromptEncoderConfig(hidden_size=16, image_size=20, patch_size=4, mask_input_channels=8),
        # Hugging Face's default is 1e-6 here; the official decoder has 1e-5, and with it the two agree exactly.
        mask_decoder_config=SamMaskDecoderConfig(hidden_size=16, mlp_dim=20, iou_head_hidden_dim=12, layer_norm_eps=1e-5))).eval()
    with torch.no_grad():
        for p in model.parameters(): p.copy_((torch.randn_like(p) * 0.3).half().float())
    return model


def check_against_reference(model, weights, ref):
    config = ref.infer_config(weights)
    x = torch.randn(1, 3, 20, 20, dtype=torch.float64)
    points = torch.tensor([[[4., 7.], [12., 3.]]], dtype=torch.float64); labels = torch.tensor([[1., 0.]], dtype=torch.float64)
    mask = torch.randn(1, 1, 20, 20, dtype=torch.float64)
    with torch.no_grad():
        embedding = ref.image_encoder(ref.sub(weights, 'image_encoder.'), x, config)
        close(embedding, model.vision_encoder(x).last_hidden_state, 'embedding')
        for multimask in (True, False):
            out = model(image_embeddings=embedding, input_points=points[:, None], input_labels=labels[:, None].long(),
                        input_masks=mask, multimask_output=multimask)
            sparse, dense = ref.prompt_encoder(weights, (20, 20), (5, 5), points, labels, None, mask)
            low, iou = ref.mask_decoder(weights, embedding, ref.dense_pe(weights, 5, 5, x.dtype), sparse, dense, multimask)
            close(low, out.pred_masks[0], 'masks'); close(iou, out.iou_scores[0], 'iou')
        box = torch.tensor([[2., 3., 15., 17.]], dtype=torch.float64)
        out = model(image_embeddings=embedding, input_boxes=box[None])
        sparse, dense = ref.prompt_encoder(weights, (20, 20), (5, 5), boxes=box)
        low, iou = ref.mask_decoder(weights, embedding, ref.dense_pe(weights, 5, 5, x.dtype), sparse, dense, True)
        close(low, out.pred_masks[0], 'box masks')


def close(a, b, what):
    error = (a - b).abs().max().item() / b.abs().max().item()
    print(f'{what}: relative difference {error:.1e}')
    assert a.shape == b.shape and error <= 1e-9, what


def write_models(ref):
    model = tiny_sam()
    model.half().save_pretrained(path('tmp-hf'))
    os.replace(path('tmp-hf/model.safetensors'), path('hf-sam.safetensors'))
    for name in os.listdir(path('tmp-hf')): os.remove(os.path.join(path('tmp-hf'), name))
    os.rmdir(path('tmp-hf'))
    saved = safetensors.torch.load_file(path('hf-sam.safetensors'))
    names = {key: official(key) for key in saved}
    assert len(set(names.values())) == len(names)
    weights = {names[k]: v for k, v in saved.items()}
    torch.manual_seed(2)
    check_against_reference(model.double(), {k: v.double() for k, v in weights.items()}, ref)
    with open(path('hf-names.json'), 'w') as f: json.dump(names, f, indent=0)
    torch.save(collections.OrderedDict(weights), path('official.pth')); fix_zip('official.pth', zipfile.ZIP_DEFLATED)

    # What BA-SAM's released code saves: official keys in a training wrapper, attn.coefficient, no pos_embed.
    encoder = collections.OrderedDict((f'module.{k}', v.float()) for k, v in weights.items() if k.startswith('image_encoder.') and not k.endswith('pos_embed'))
    for i in range(2): encoder[f'module.image_encoder.blocks.{i}.attn.coefficient'] = torch.nn.Parameter(torch.tensor([0.5 + i]))
    momentum = {0: {'momentum_buffer': torch.ones(2)}}
    torch.save({'epoch': 3, 'state_dict': encoder, 'optimizer': {'state': momentum, 'param_groups': []}}, path('ba-sam.pth'))
    fix_zip('ba-sam.pth', zipfile.ZIP_DEFLATED)


def write_window():
    """An image encoder whose window is as large as the grid it was trained on (3 x 3), and what it gives at twice that size with
    the global blocks of SAM's rule and with others. Its tables and its position embedding are those of 12 px, resized as
    segment_anything does."""
    torch.manual_seed(4)
    def model(side, global_blocks):
        return SamVisionModel(SamVisionConfig(hidden_size=16, output_channels=8, num_hidden_layers=8, num_attention_heads=2, image_size=side,
                                              patch_size=4, window_size=3, global_attn_indexes=global_blocks, mlp_dim=16)).double().eval()
    with torch.no_grad():
        trained = model(12, [1, 3, 5, 7])
        for p in trained.parameters(): p.copy_((torch.randn_like(p) * 0.3).half().double())
        state = trained.state_dict()
        safetensors.torch.save_file({k: v.half().contiguous() for k, v in state.items()}, path('window.safetensors'))
        x = (torch.arange(3 * 24 * 24, dtype=torch.float64) * 7919 % 1009 / 1009 * 4 - 2).reshape(1, 3, 24, 24)
        expected = {}
        for blocks in ([1, 3, 5, 7], [0, 3]):
            large = model(24, blocks)
            large.vision_encoder.pos_embed = torch.nn.Parameter(torch.nn.functional.interpolate(
                state['vision_encoder.pos_embed'].permute(0, 3, 1, 2), (6, 6), mode='bicubic', align_corners=False).permute(0, 2, 3, 1))
            for i, layer in enumerate(large.vision_encoder.layers):
                for axis in ('rel_pos_h', 'rel_pos_w'):
                    setattr(layer.attn, axis, torch.nn.Parameter(state[f'vision_encoder.layers.{i}.attn.{axis}']))
            large.load_state_dict({k: v for k, v in state.items() if 'pos' not in k}, strict=False)
            expected[','.join(map(str, blocks))] = large(x).last_hidden_state.flatten().tolist()
    with open(path('window.expected.json'), 'w') as f: json.dump(expected, f)


def write_hq(repository):
    """A small SAM-HQ and its masks, by the code of SysCV/sam-hq. Not by transformers: SamHQModel 5.18 upscales the embedding as it
    was before the transformer, with height and width exchanged, and gives other masks for the same weights."""
    for package in ('segment_anything', 'segment_anything.modeling'):  # without what they import, such as torchvision
        sys.modules[package] = types.ModuleType(package)
        sys.modules[package].__path__ = [os.path.join(repository, *package.split('.'))]
    from segment_anything.modeling.image_encoder import ImageEncoderViT
    from segment_anything.modeling.mask_decoder_hq import MaskDecoderHQ
    from segment_anything.modeling.prompt_encoder import PromptEncoder
    from segment_anything.modeling.transformer import TwoWayTransformer
    torch.manual_seed(5)  # in f32, which the prompt encoder asks for
    norm = functools.partial(torch.nn.LayerNorm, eps=1e-6)
    model = torch.nn.Module()
    model.image_encoder = ImageEncoderViT(depth=3, embed_dim=24, img_size=20, mlp_ratio=1, norm_layer=norm, num_heads=2, patch_size=4, qkv_bias=True,
                                          use_rel_pos=True, global_attn_indexes=[1, 2], window_size=3, out_chans=16)
    model.prompt_encoder = PromptEncoder(embed_dim=16, image_embedding_size=(5, 5), input_image_size=(20, 20), mask_in_chans=8)
    model.mask_decoder = MaskDecoderHQ(num_multimask_outputs=3, transformer=TwoWayTransformer(depth=2, embedding_dim=16, mlp_dim=20, num_heads=8),
                                       transformer_dim=16, iou_head_depth=3, iou_head_hidden_dim=12, vit_dim=24)
    model.eval()
    with torch.no_grad():
        for p in [*model.parameters(), *model.buffers()]: p.copy_((torch.randn_like(p) * 0.3).half().float())
        safetensors.torch.save_file({k: v.half().contiguous() for k, v in model.state_dict().items()}, path('hq.safetensors'))
        x = (torch.arange(3. * 20 * 20) * 7919 % 1009 / 1009 * 4 - 2).reshape(1, 3, 20, 20)
        embedding, early = model.image_encoder(x)
        mask = (torch.arange(20. * 20) * 31 % 17 - 8).reshape(1, 1, 20, 20)
        expected = {}
        def digits(values): return [float(f'{v:.7g}') for v in values.flatten().tolist()]
        points = (torch.tensor([[[4., 7.], [12., 3.]]]), torch.tensor([[1, 0]]))
        for name, prompt in {'points': dict(points=points, boxes=None, masks=None), 'box': dict(points=None, boxes=torch.tensor([[2., 3., 15., 17.]]), masks=None),
                             'mask': dict(points=points, boxes=None, masks=mask)}.items():
            sparse, dense = model.prompt_encoder(**prompt)
            image = dict(image_embeddings=embedding, image_pe=model.prompt_encoder.get_dense_pe(), sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense)
            low, iou = model.mask_decoder(**image, multimask_output=False, hq_token_only=False, interm_embeddings=early)
            best, best_iou = model.mask_decoder(**image, multimask_output=True, hq_token_only=False, interm_embeddings=early)
            expected[name] = {'single': {'score': iou.item(), 'lowRes': digits(low)}, 'best': {'score': best_iou.item(), 'lowRes': digits(best)}}
    with open(path('hq.expected.json'), 'w') as f: json.dump(expected, f)


if __name__ == '__main__':
    os.makedirs(HERE, exist_ok=True)
    spec = importlib.util.spec_from_file_location('basam_ref', sys.argv[1])
    ref = importlib.util.module_from_spec(spec); spec.loader.exec_module(ref)
    write_containers(); write_objects(); write_models(ref); write_window(); write_hq(sys.argv[2])
    sizes = {n: os.path.getsize(path(n)) for n in sorted(os.listdir(HERE))}
    print(*(f'{v:8} {k}' for k, v in sizes.items()), sep='\n'); print(sum(sizes.values()), 'bytes')
