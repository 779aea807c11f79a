from collections.abc import Sequence


def joint_indices(dataset_meta: dict, names: Sequence[str],
                  metric: str) -> list[int]:
    """Look joints up by their names.

    Args:
        dataset_meta (dict): The data set's parsed metainfo.
        names (Sequence[str]): Names of joints.
        metric (str): Who asks, for the error.

    Returns:
        list[int]: Their indices.

    Raises:
        ValueError: Names each joint that the data set lacks.
    """
    indices = dataset_meta['keypoint_name2id']
    missing = [name for name in dict.fromkeys(names) if name not in indices]
    if missing:
        raise ValueError(
            f"{metric} needs the joints {', '.join(missing)}, which the data "
            f"set {dataset_meta.get('dataset_name')!r} does not have; it has "
            f"{', '.join(indices)}. Use a metric made for it")
    return [indices[name] for name in names]
