"""Trained models as units on disk: safetensors and JSON."""

import hashlib
import json
from pathlib import Path
from typing import Any

from echo_stream.connectors.clock import timestamp
from echo_stream.connectors.engine_files import tensors_writer
from echo_stream.connectors.units import write_unit
from echo_stream.training import TrainResult

METRICS_FILE = "metrics.json"
WEIGHTS_FILE = "model.safetensors"
DIGEST_BYTES = 4


def write_model(result: TrainResult, parent: Path, *, snapshot_id: str) -> Path:
    """Write weights and metrics as parent/<time>-<digest>, and return the folder.

    The metrics name the snapshot, the classes in the order of the logits, and the shape
    in which the model takes a sample.
    """
    weights = {name: tensor.cpu().numpy() for name, tensor in result.model.state_dict().items()}
    manifest: dict[str, Any] = {
        "time": timestamp(),
        "snapshot": snapshot_id,
        "classes": list(result.classes),
        "input_shape": list(result.input_shape),
        **result.metrics,
    }
    digest = hashlib.blake2b(json.dumps(manifest).encode(), digest_size=DIGEST_BYTES).hexdigest()
    moment = "".join(character for character in manifest["time"][:19] if character.isalnum())
    target = parent / f"{moment}-{digest}"
    write_unit(
        target, {WEIGHTS_FILE: tensors_writer(weights)}, manifest, manifest_name=METRICS_FILE
    )
    return target
