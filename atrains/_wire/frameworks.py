"""Frameworks that models are of, and which one a file is taken for by its name. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Framework(StrEnum):
    """What a model was made with. A member equals, hashes and serialises as its string; any other string may be given in its place."""

    tensorflow = "TensorFlow"
    tensorflowjs = "TensorFlow_js"
    tensorflowlite = "TensorFlow_Lite"
    pytorch = "PyTorch"
    torchscript = "TorchScript"
    caffe = "Caffe"
    caffe2 = "Caffe2"
    onnx = "ONNX"
    keras = "Keras"
    mxnet = "MXNet"
    cntk = "CNTK"
    torch = "Torch"
    darknet = "Darknet"
    paddlepaddle = "PaddlePaddle"
    scikitlearn = "ScikitLearn"
    xgboost = "XGBoost"
    lightgbm = "LightGBM"
    parquet = "Parquet"
    megengine = "MegEngine"
    catboost = "CatBoost"
    tensorrt = "TensorRT"
    openvino = "OpenVINO"


_BY_EXTENSION: Final = {
    ".pb": Framework.tensorflow,
    ".meta": Framework.tensorflow,
    ".pbtxt": Framework.tensorflow,
    ".zip": Framework.tensorflow,
    ".tgz": Framework.tensorflow,
    ".tar.gz": Framework.tensorflow,
    ".tflite": Framework.tensorflowlite,
    ".pth": Framework.pytorch,
    ".pt": Framework.pytorch,
    ".caffemodel": Framework.caffe,
    ".prototxt": Framework.caffe,
    ".onnx": Framework.onnx,
    ".h5": Framework.keras,
    ".hdf5": Framework.keras,
    ".keras": Framework.keras,
    ".model": Framework.mxnet,
    ".pkl": Framework.scikitlearn,
    ".parquet": Framework.parquet,
}


def framework_of(file_name: str) -> Framework | None:
    """The framework that a file is taken for, by the end of its name in whatever case; None where it tells none."""
    name = file_name.lower()
    return next((framework for extension, framework in _BY_EXTENSION.items() if name.endswith(extension)), None)


def with_extension(target: str, file_name: str) -> str:
    """A name for the stored file: with the extension of the file itself, where that tells a framework and the name does not end so."""
    extension = next((extension for extension in _BY_EXTENSION if file_name.lower().endswith(extension)), "")
    return target if not extension or target.lower().endswith(extension) else target + extension
