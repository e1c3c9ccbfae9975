"""What may be exchanged: kinds with their schemas, transformers and samples."""
