"""``python -m mmpose_wloss test CONFIG CHECKPOINT``: evaluate a model."""

from .. import register_all_modules
from ..common.configs import change_config, is_of_class
from ..common.errors import UserError
from ..common.files import check_config_path, existing_checkpoint, replaced_whole
from .arguments import analyze_bad_cases, load_config, run_parser

PICKLES = ('.pkl', '.pickle')
FIGURES = ('.json', '.yaml', '.yml', *PICKLES)


def main(arguments: list[str] | None = None) -> int:
    """Evaluate a checkpoint, with MMPose's arguments.

    Args:
        arguments (list[str], optional): Those of the command line by default.

    Returns:
        int: 0.
    """
    parser = run_parser('test', 'Evaluate a checkpoint or an ONNX file.')
    parser.add_argument('checkpoint', help='checkpoint, or file of ONNX')
    parser.add_argument('--out', help='file for the figures, as JSON, YAML or pickle')
    parser.add_argument('--dump', help='pickle file for the predictions')
    parser.add_argument('--badcase', action='store_true',
                        help='draw the samples with the largest errors')
    args = parser.parse_args(arguments)
    check_config_path(args.config)
    existing_checkpoint(args.checkpoint)
    if args.out and not args.out.endswith(FIGURES):
        raise UserError(f'--out must end in {", ".join(FIGURES)}, but it is {args.out}')
    if args.dump and not args.dump.endswith(PICKLES):
        raise UserError(f'--dump must end in .pkl, but it is {args.dump}')

    register_all_modules()
    import mmengine
    from mmengine.config import Config
    from mmengine.dist import is_main_process
    from mmengine.runner import Runner

    from ..compat.process_groups import end_process_groups, start_cpu_processes
    from ..deploy import with_onnx_file
    from ..engine.hooks import WholeCheckpointHook
    from ..models.wrapped_networks import TRAINING_KEYS
    from ..preflight import check_areas, check_components, check_files, check_numbers

    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    if args.badcase:
        analyze_bad_cases(cfg, args)
    if args.dump:
        if is_of_class(cfg.test_evaluator, 'NetworksEvaluator'):
            # the pickle holds one prediction a sample
            cfg.test_evaluator = cfg.test_evaluator['metrics']
        metrics = cfg.test_evaluator
        cfg.test_evaluator = [
            *(metrics if isinstance(metrics, (list, tuple)) else [metrics]),
            dict(type='DumpResults', out_file_path=args.dump)]
    change_config(cfg, args.cfg_options)
    if args.checkpoint.endswith('.onnx'):
        cfg = with_onnx_file(cfg, args.checkpoint)

    # what only trains may need files that a test does not
    check_components(Config({key: value for key, value in cfg.items()
                             if key not in TRAINING_KEYS}))
    check_files(cfg, ['test'])
    check_areas(cfg, ['test'])
    check_numbers(cfg)
    start_cpu_processes(cfg)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(WholeCheckpointHook(args.checkpoint))
    figures = runner.test()
    if args.out and is_main_process():
        with replaced_whole(args.out) as partial:
            mmengine.dump(figures, partial)
    end_process_groups()
    return 0
