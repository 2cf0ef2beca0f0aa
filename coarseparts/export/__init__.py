"""A trained model as files that other programs read: ONNX, TorchScript, and the folder that model hubs expect."""
