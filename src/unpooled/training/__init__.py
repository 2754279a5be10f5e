"""Federated training of PyTorch models: exchanges, protocols, executors."""
