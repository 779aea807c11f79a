"""What ``tools/export_onnx.py`` does: export, quantize, compare."""

import json

from mmengine.config import Config
from tqdm import tqdm

from ..common.files import write_whole
from ..models.wrapped_networks import load_network
from ..preflight import check_config_path, check_data_files
from .onnx_comparison import compare_runtimes, runtime_facts, runtime_table
from .onnx_export import export_model, import_onnx
from .onnx_images import NetworkImages
from .onnx_network import import_onnxruntime
from .onnx_quantization import quantize_onnx

FORMAT_VERSION = 1
# joints are compared on so many
COMPARED_IMAGES = 100


def export_and_report(config: str, checkpoint: str, out: str,
                      network: str | None = None, images: str | None = None,
                      int8: bool = False, calibration: int = 200,
                      evaluate: bool = False, seconds: float = 2.,
                      threads: int = 0,
                      cfg_options: dict | None = None) -> str:
    """Export a checkpoint to ONNX, and compare the files with PyTorch.

    Args:
        config (str): Config that the checkpoint was trained with.
        checkpoint (str): The checkpoint.
        out (str): The file to write, ``.onnx``; the comparison goes beside it
            as ``.json``, and 8-bit integers as ``_int8.onnx``.
        network (str, optional): Which network of a training that has several.
            Defaults to ``None``.
        images (str, optional): Folder of images to check and to calibrate
            with. Defaults to ``None``: the config's own data sets.
        int8 (bool): Whether to write it in 8-bit integers too. Defaults to
            ``False``.
        calibration (int): Images to calibrate with. Defaults to 200.
        evaluate (bool): Whether to evaluate on the test set. Defaults to
            ``False``.
        seconds (float): How long to measure each speed in each of three
            rounds. Defaults to 2.
        threads (int): Threads of each; 0 takes all cores. Defaults to 0.
        cfg_options (dict, optional): Changes of the config.

    Returns:
        str: What was written and the table, in Markdown.
    """
    import_onnx()
    import_onnxruntime()
    if calibration < 1 or threads < 0:
        raise ValueError(
            '--calibration must be at least 1 and --threads not below 0, but '
            f'they are {calibration} and {threads}')
    check_config_path(config)
    given = Config.fromfile(config)
    given.merge_from_dict(cfg_options or {})
    if evaluate:
        check_data_files(given, ['test'])
    model, stock = load_network(given, checkpoint, network)
    calibrated_on = None
    if int8:
        # the stock config has no training set
        stock_data = Config(dict(stock.to_dict(), train_dataloader=given.get(
            'train_dataloader')))
        calibrated_on = NetworkImages(stock_data, model, images, 'train')

    export = export_model(model, stock, out, images=images)
    lines = [f'{export.file}: differs from PyTorch by {export.difference:.1e} '
             f'on {export.images} images ({export.source})']
    files = {'ONNX float32': export.file}
    if int8:
        file = export.file.with_name(f'{export.file.stem}_int8.onnx')
        count = min(calibration, len(calibrated_on))
        files['ONNX int8'] = quantize_onnx(export.file, file, tqdm(
            calibrated_on.spread(count), 'calibration', count))
        lines.append(f'{file}: calibrated on {count} images '
                     f'({calibrated_on.source})')

    compared = list(NetworkImages(stock, model, images).spread(COMPARED_IMAGES))
    rows = compare_runtimes(model, stock, files, compared, evaluate=evaluate,
                            seconds=seconds, threads=threads)
    report = export.file.with_suffix('.json')
    write_whole(report, json.dumps(dict(
        format=FORMAT_VERSION, config=str(config), checkpoint=str(checkpoint),
        network=network, difference=export.difference,
        checked_on=f'{export.images} images ({export.source})',
        calibrated_on=None if not int8 else
        f'{count} images ({calibrated_on.source})',
        compared_on=len(compared), rows=rows, **runtime_facts(threads)),
        indent=1) + '\n')
    return '\n'.join([*lines, f'{report}: the table', '', runtime_table(rows)])
